"""The passwords of users, read from Secrets when needed. A text lives in Secrets and in memory only."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from milvus_rbac.api.v1alpha1.names import PasswordSecretRef
from milvus_rbac.controller.entry import Entry
from milvus_rbac.controller.marks import secret_version
from milvus_rbac.controller.memory import ClaimMemory, Reading
from milvus_rbac.domain import passwords
from milvus_rbac.domain.claims import SecretVersion
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.kube.client import ClusterError, ClusterUnavailable
from milvus_rbac.kube.resources import Cluster
from milvus_rbac.milvus.port import Password

PREVIOUS_KEY: Final = "previous-password"
"""Beside the password's own key: what was in force before, for a rotation that takes place while the operator is down."""
OTHER_PURPOSES: Final = frozenset(
    {
        "bootstrap.kubernetes.io/token",
        "helm.sh/release.v1",
        "kubernetes.io/dockercfg",
        "kubernetes.io/dockerconfigjson",
        "kubernetes.io/service-account-token",
        "kubernetes.io/ssh-auth",
        "kubernetes.io/tls",
    }
)
"""Types of Secrets that hold no password: whoever may create a MilvusUser must not get their content."""


async def read(cluster: Cluster, entry: Entry, record: ClaimMemory, newest: SecretVersion | None) -> Reading:
    """Return the password that a user's Secret holds; without a request where its newest version was read before.

    Args:
        cluster: where the Secret is.
        entry: the MilvusUser.
        record: what is remembered about it.
        newest: the Secret's version as the cache has it.
    """
    assert entry.user is not None  # noqa: S101 - only users have passwords
    ref, namespace = entry.user.password_source, entry.name[0]
    known = record.reading
    is_known = record.asked == ref and known.version is not None
    if is_known and known.version is not None and replace(known.version, key="") == newest:
        return known
    try:
        body = await cluster.get_secret(namespace, ref.name)
    except ClusterError as error:
        return Reading(refusal=_unreadable(f"Secret {namespace}/{ref.name}", error))
    record.asked, record.reading = ref, read_password(body, namespace, ref)
    return record.reading


def read_key(secret: Mapping[str, Any], key: str) -> bytes | None:
    """Decode one key of a Secret; None when it is not there or, written past the API server's checks, not base64."""
    encoded = (secret.get("data") or {}).get(key)
    try:
        return None if encoded is None else base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return None


def read_password(secret: Mapping[str, Any] | None, namespace: str, ref: PasswordSecretRef) -> Reading:
    """Return the password in a Secret, or what is wrong with it."""
    where, key = f"Secret {namespace}/{ref.name}", ref.key
    if secret is None:
        message = f"{where} is not there yet; create it with the key {key}."
        return Reading(refusal=Refusal(Reason.WAITING_FOR_SECRET, message))
    version = replace(secret_version(secret), key=key)
    if secret.get("type") in OTHER_PURPOSES:
        message = (
            f"{where} is of type {secret['type']}, which has another purpose: put the password into a Secret of type Opaque or "
            "kubernetes.io/basic-auth."
        )
        return Reading(version, refusal=Refusal(Reason.NOT_PERMITTED, message))
    value = read_key(secret, key)
    if value is None:
        message = f"{where} has no key {key}: add it, or name another key."
        return Reading(version, refusal=Refusal(Reason.SECRET_KEY_MISSING, message))
    refusal = passwords.check(value, f"Key {key} of {where}")
    if refusal is not None:
        return Reading(version, refusal=refusal)
    previous = read_key(secret, PREVIOUS_KEY)
    if not previous:
        return Reading(version, Password(value.decode()))
    return Reading(
        version,
        Password(value.decode()),
        Password(previous.decode(errors="replace")),
        previous_refusal=passwords.check(previous, f"Key {PREVIOUS_KEY} of {where}"),
    )


def _unreadable(what: str, error: ClusterError) -> Refusal:
    if isinstance(error, ClusterUnavailable) and error.status is None:
        message = f"{what} could not be read, because the Kubernetes API did not answer; it is tried again."
    else:
        message = f"{what} can't be read by the operator: {error.message}"
    return Refusal(Reason.WAITING_FOR_SECRET, message)
