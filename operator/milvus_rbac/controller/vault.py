"""The passwords that are in force or wanted: read from Secrets when needed, held in memory, told to nobody but Milvus."""

import base64
import binascii
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from milvus_rbac.api.v1alpha1.names import PasswordSecretRef
from milvus_rbac.domain import passwords
from milvus_rbac.domain.claims import SecretVersion
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.kube.client import ClusterRefused
from milvus_rbac.kube.resources import Cluster
from milvus_rbac.milvus.port import Password

PREVIOUS_KEY = "previous-password"
"""Beside the password's own key: what was in force before, for whoever rotates while the operator is down."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a Secret's key held: a version with its text, or what is wrong with it."""

    version: SecretVersion | None = None
    password: Password | None = None
    previous: Password | None = None
    """What the Secret says was in force before, under PREVIOUS_KEY."""
    refusal: Refusal | None = None


class Vault:
    """The texts of one connection's users, by the uid of their resource."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._read: dict[str, tuple[PasswordSecretRef | None, Reading]] = {}
        self._in_force: dict[str, Password] = {}
        self._not_in_force: defaultdict[str, set[Password]] = defaultdict(set)

    async def read(
        self, uid: str, namespace: str, ref: PasswordSecretRef, newest: SecretVersion | None
    ) -> Reading:
        """Read the password that a Secret holds; without a request where its newest known version was read before."""
        asked, known = self._read.get(uid, (None, Reading()))
        if asked != ref or known.version is None or replace(known.version, key="") != newest:
            known = await self._read_now(namespace, ref)
            self._read[uid] = (ref, known)
        return known

    async def _read_now(self, namespace: str, ref: PasswordSecretRef) -> Reading:
        try:
            body = await self._cluster.get_secret(namespace, ref.name)
        except ClusterRefused as refused:
            message = f"Secret {namespace}/{ref.name} can't be read by the operator: {refused.message}"
            return Reading(refusal=Refusal(Reason.WAITING_FOR_SECRET, message))
        return read_password(body, namespace, ref.name, ref.key)

    def is_in_force(self, uid: str, wanted: Reading) -> bool:
        """Tell whether the wanted text is known to be in force: a new version with the same text is no rotation."""
        return wanted.password is not None and self._in_force.get(uid) == wanted.password

    def remember(self, uid: str, password: Password) -> None:
        """Note that the server accepts this password."""
        self._in_force[uid] = password
        self._not_in_force.pop(uid, None)

    def distrust(self, uid: str, password: Password) -> None:
        """Note that the server does not take this text for the one in force."""
        self._not_in_force[uid].add(password)

    def forget(self, uid: str) -> None:
        """Forget everything about a resource that is gone."""
        for memory in (self._read, self._in_force, self._not_in_force):
            memory.pop(uid, None)

    def old(self, uid: str, wanted: Reading) -> Password | None:
        """Give a text that may be the one in force and is not the wanted one."""
        candidates = (self._in_force.get(uid), wanted.previous)
        useless = {wanted.password, *self._not_in_force.get(uid, ())}
        return next((text for text in candidates if text is not None and text not in useless), None)


def secret_version(body: Mapping[str, Any]) -> SecretVersion:
    """Say which version of a Secret this is; its metadata is enough."""
    return SecretVersion(body["metadata"]["uid"], body["metadata"]["resourceVersion"])


def read_key(secret: Mapping[str, Any], key: str) -> bytes | None:
    """Decode one key of a Secret; None when it is not there or, written past the API server's checks, not base64."""
    encoded = (secret.get("data") or {}).get(key)
    try:
        return None if encoded is None else base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return None


def read_password(secret: Mapping[str, Any] | None, namespace: str, name: str, key: str) -> Reading:
    """Take the password out of a Secret, or say what is wrong with it."""
    if secret is None:
        message = f"Secret {namespace}/{name} is not there yet; create it with the key {key}."
        return Reading(refusal=Refusal(Reason.WAITING_FOR_SECRET, message))
    version = replace(secret_version(secret), key=key)
    value = read_key(secret, key)
    if value is None:
        message = f"Secret {namespace}/{name} has no key {key}: add it, or name another key."
        return Reading(version, refusal=Refusal(Reason.SECRET_KEY_MISSING, message))
    refusal = passwords.check(value, f"Key {key} of Secret {namespace}/{name}")
    if refusal is not None:
        return Reading(version, refusal=refusal)
    previous = read_key(secret, PREVIOUS_KEY)
    return Reading(
        version, Password(value.decode()), Password(previous.decode(errors="replace")) if previous else None
    )
