"""The operator that one writes in an afternoon: Kopf's handlers as its tutorial has them, and pymilvus' MilvusClient.

    MILVUS_URI=http://127.0.0.1:19530 MILVUS_TOKEN=root:Milvus kopf run --standalone --namespace=apps bench/tutorial.py

It serves kinds of its own, those of tutorial.yaml, which look like ours. It is what `make bench` compares our operator with,
and is meant to be good at what it does: each resource is worked on at once, six at a time, by the fewest calls. It knows no
drift, no ownership, no rotation of a Secret and no order of writes; a crash in its middle is repeated.
"""

import base64
import os
from typing import Any

import kopf
import kubernetes
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

GROUP = "tutorial.example.com"
RETRY = 1.0
"""Seconds after which a user asks again for a role that is not there yet."""


@kopf.on.startup()
def connect(memo: kopf.Memo, **_: Any) -> None:
    kubernetes.config.load_config()
    memo.core = kubernetes.client.CoreV1Api()
    memo.milvus = MilvusClient(os.environ["MILVUS_URI"], token=os.environ["MILVUS_TOKEN"])


@kopf.on.create(GROUP, "milvusroles")
def create_role(spec: kopf.Spec, memo: kopf.Memo, patch: kopf.Patch, **_: Any) -> None:
    role = spec["roleName"]
    if role not in memo.milvus.list_roles():
        memo.milvus.create_role(role)
    for privilege, collection in _grants(spec["grants"]):
        memo.milvus.grant_privilege(role, "Collection", privilege, collection)
    patch.status["phase"] = "Ready"


@kopf.on.update(GROUP, "milvusroles", field="spec.grants")
def update_role(old: Any, new: Any, spec: kopf.Spec, memo: kopf.Memo, **_: Any) -> None:
    role, before, after = spec["roleName"], _grants(old or ()), _grants(new or ())
    for privilege, collection in after - before:
        memo.milvus.grant_privilege(role, "Collection", privilege, collection)
    for privilege, collection in before - after:
        memo.milvus.revoke_privilege(role, "Collection", privilege, collection)


@kopf.on.delete(GROUP, "milvusroles")
def delete_role(spec: kopf.Spec, memo: kopf.Memo, **_: Any) -> None:
    role = spec["roleName"]
    if role not in memo.milvus.list_roles():
        return
    for privilege, collection in _grants(spec["grants"]):
        memo.milvus.revoke_privilege(role, "Collection", privilege, collection)
    memo.milvus.drop_role(role)


@kopf.on.create(GROUP, "milvususers")
def create_user(spec: kopf.Spec, namespace: str | None, memo: kopf.Memo, patch: kopf.Patch, **_: Any) -> None:
    user = spec["userName"]
    if not memo.milvus.describe_user(user):
        memo.milvus.create_user(user, _password(memo, namespace, spec["passwordSecretRef"]))
    _grant_roles(memo, user, spec["roles"])
    patch.status["phase"] = "Ready"


@kopf.on.update(GROUP, "milvususers", field="spec.roles")
def update_user(old: Any, new: Any, spec: kopf.Spec, memo: kopf.Memo, **_: Any) -> None:
    user, before, after = spec["userName"], set(old or ()), set(new or ())
    _grant_roles(memo, user, after - before)
    for role in before - after:
        memo.milvus.revoke_role(user, role)


@kopf.on.delete(GROUP, "milvususers")
def delete_user(spec: kopf.Spec, memo: kopf.Memo, **_: Any) -> None:
    memo.milvus.drop_user(spec["userName"])


def _grants(rows: Any) -> set[tuple[str, str]]:
    return {
        (privilege, collection)
        for row in rows
        for privilege in row["privileges"]
        for collection in row.get("collections", ["*"])
    }


def _grant_roles(memo: kopf.Memo, user: str, roles: Any) -> None:
    try:
        for role in roles:
            memo.milvus.grant_role(user, role)
    except MilvusException as error:
        raise kopf.TemporaryError(f"{user} can't have its roles yet: {error}", delay=RETRY) from error


def _password(memo: kopf.Memo, namespace: str | None, reference: dict[str, str]) -> str:
    secret = memo.core.read_namespaced_secret(reference["name"], namespace)
    return base64.b64decode(secret.data[reference.get("key", "password")]).decode()
