"""The passwords of one connection's users: read from Secrets when needed, generated, and handed to applications.

A text lives in Secrets and in memory only, and reaches nothing but Milvus and the Secrets of its own user. A Secret that the
operator makes is controlled by its MilvusUser and goes with it; one that is not is never touched.
"""

import base64
import binascii
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from milvus_rbac.api.v1alpha1 import GROUP, VERSION
from milvus_rbac.api.v1alpha1.names import PasswordSecretRef
from milvus_rbac.controller.entry import Entry
from milvus_rbac.controller.memory import ClaimMemory, Reading
from milvus_rbac.domain import passwords
from milvus_rbac.domain.claims import SecretVersion
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.kube.client import ClusterError, ClusterUnavailable
from milvus_rbac.kube.resources import Cluster
from milvus_rbac.milvus.channel import Endpoint
from milvus_rbac.milvus.port import Address, Password

PREVIOUS_KEY: Final = "previous-password"
"""Beside the password's own key: what was in force before, for a rotation that takes place while the operator is down."""
ROTATED_ANNOTATION: Final = f"{GROUP}/rotated"
"""On a generated Secret: the rotation that it was last generated for."""
PASSWORD_KEY: Final = "password"  # noqa: S105 - the name of the key
BASIC_AUTH: Final = "kubernetes.io/basic-auth"
BINDING: Final = "servicebinding.io/milvus"

Data = Mapping[str, str]
"""A Secret's data, base64."""


class Passwords:
    """The Secrets of one connection's users."""

    def __init__(self, cluster: Cluster, may_write: Callable[[], None]) -> None:
        self._cluster = cluster
        self._may_write = may_write

    async def read(self, entry: Entry, record: ClaimMemory, newest: SecretVersion | None) -> Reading:
        """Return the password that a user's Secret holds; without a request where its newest version was read before.

        Args:
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
            body = await self._cluster.get_secret(namespace, ref.name)
        except ClusterError as error:
            return Reading(refusal=_unreadable(f"Secret {namespace}/{ref.name}", error))
        record.asked, record.reading = ref, read_password(body, namespace, ref)
        return record.reading

    async def generate(
        self, entry: Entry, record: ClaimMemory, newest: SecretVersion | None
    ) -> Refusal | None:
        """Make sure that a user's generated password is there; return why it is not.

        A rotation keeps the text before under `previous-password`: written together with the new one, it is there even if
        the operator ends before Milvus has the new one. Until that is known, the text before is not replaced by another.
        """
        assert entry.user is not None  # noqa: S101 - only users have passwords
        spec = entry.user
        if spec.generate_password is None:
            return None
        name = spec.generate_password.secret_name
        if newest is not None and record.generated == (newest, entry.rotation):
            return None
        try:
            return await self._generate(entry, record, name)
        except ClusterError as error:
            return _unwritable(f"Secret {entry.name[0]}/{name}", error)

    async def _generate(self, entry: Entry, record: ClaimMemory, name: str) -> Refusal | None:
        assert entry.user is not None  # noqa: S101 - only users have passwords
        secret: Mapping[str, Any] | None = await self._cluster.get_secret(entry.name[0], name)
        if secret is not None and not is_controlled_by(secret, entry.uid):
            return _not_ours("spec.generatePassword", entry, name)
        kept = dict((secret or {}).get("data") or {})
        good = read_password(secret, entry.name[0], PasswordSecretRef(name=name, key=PASSWORD_KEY))
        done = ((secret or {}).get("metadata", {}).get("annotations") or {}).get(ROTATED_ANNOTATION, "")
        is_good, is_due = good.refusal is None, bool(entry.rotation) and entry.rotation != done
        record.is_rotation_put_off = False
        if secret and is_good and is_due and PREVIOUS_KEY in kept and not _may_be_in_force(entry, secret):
            record.is_rotation_put_off = True
            return None
        if not is_good or is_due:
            data = {"username": _encoded(entry.user.user_name), PASSWORD_KEY: _encoded(generate_password())}
            if is_good:
                data[PREVIOUS_KEY] = kept[PASSWORD_KEY]
            annotations = {ROTATED_ANNOTATION: entry.rotation}
            secret = await self._write(entry, name, BASIC_AUTH, secret, data, annotations)
            if secret is None:
                return _just_changed(entry, name)
        assert secret is not None  # noqa: S101 - a password that is good is in one
        record.generated = (secret_version(secret), entry.rotation)
        return None

    async def hand_out(
        self,
        entry: Entry,
        record: ClaimMemory,
        address: Address,
        password: Password,
        newest: SecretVersion | None,
    ) -> Refusal | None:
        """Make sure that the application's Secret holds what is in force; return why it does not."""
        assert entry.user is not None  # noqa: S101 - only users have passwords
        spec = entry.user
        if spec.connection_secret is None:
            return None
        name, data = spec.connection_secret.name, binding(address, spec.user_name, password)
        if name == spec.password_source.name:
            return _not_ours("spec.connectionSecret", entry, name)
        if newest is not None and record.bound == (newest, data):
            return None
        try:
            return await self._hand_out(entry, record, name, data)
        except ClusterError as error:
            return _unwritable("spec.connectionSecret: the Secret", error)

    async def _hand_out(self, entry: Entry, record: ClaimMemory, name: str, data: Data) -> Refusal | None:
        secret: Mapping[str, Any] | None = await self._cluster.get_secret(entry.name[0], name)
        if secret is not None and not is_controlled_by(secret, entry.uid):
            return _not_ours("spec.connectionSecret", entry, name)
        if secret is None or secret.get("data") != data:
            secret = await self._write(entry, name, BINDING, secret, data, {})
        if secret is None:
            return _just_changed(entry, name)
        record.bound = (secret_version(secret), data)
        return None

    async def _write(
        self,
        entry: Entry,
        name: str,
        type_: str,
        current: Mapping[str, Any] | None,
        data: Data,
        annotations: Mapping[str, str],
    ) -> Mapping[str, Any] | None:
        self._may_write()
        if current is not None:
            return await self._cluster.change_secret(current, data, annotations)
        metadata = {
            "name": name,
            "namespace": entry.name[0],
            "annotations": dict(annotations),
            "labels": {"app.kubernetes.io/managed-by": "milvus-rbac-operator"},
            "ownerReferences": [_owner(entry)],
        }
        return await self._cluster.create_secret({"metadata": metadata, "type": type_, "data": dict(data)})


def secret_version(body: Mapping[str, Any]) -> SecretVersion:
    """Return which version of a Secret this is; its metadata is enough."""
    return SecretVersion(body["metadata"]["uid"], body["metadata"]["resourceVersion"])


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
    value = read_key(secret, key)
    if value is None:
        message = f"{where} has no key {key}: add it, or name another key."
        return Reading(version, refusal=Refusal(Reason.SECRET_KEY_MISSING, message))
    refusal = passwords.check(value, f"Key {key} of {where}")
    if refusal is not None:
        return Reading(version, refusal=refusal)
    previous = read_key(secret, PREVIOUS_KEY)
    return Reading(
        version, Password(value.decode()), Password(previous.decode(errors="replace")) if previous else None
    )


def generate_password() -> str:
    """Return a password that every Milvus takes: 32 letters, digits, `-` and `_`, of three classes at least (Zilliz Cloud)."""
    while True:
        text = secrets.token_urlsafe(24)
        if (
            any(c.isupper() for c in text)
            and any(c.islower() for c in text)
            and any(c.isdigit() for c in text)
        ):
            return text


def binding(address: Address, username: str, password: Password) -> Data:
    """Return all that an application needs, under the keys of a Service Binding."""
    endpoint = Endpoint.of(address)
    entries = {
        "type": "milvus",
        "provider": "milvus-rbac-operator",
        "uri": address.uri,
        "host": endpoint.host,
        "port": str(endpoint.port),
        "username": username,
        "password": password.reveal(),
    }
    if address.ca_pem is not None:
        entries["certificates"] = address.ca_pem.decode(errors="replace")
    return {key: _encoded(value) for key, value in entries.items()}


def is_controlled_by(secret: Mapping[str, Any], uid: str) -> bool:
    """Return whether a Secret belongs to the resource with this uid, and so was made by the operator for it."""
    owners = secret["metadata"].get("ownerReferences") or ()
    return any(owner.get("controller") and owner["uid"] == uid for owner in owners)


def _may_be_in_force(entry: Entry, secret: Mapping[str, Any]) -> bool:
    """Return whether a Secret may hold what Milvus accepts: not if the status names another version of it."""
    known, version = entry.password, replace(secret_version(secret), key=PASSWORD_KEY)
    return known is None or known == version or known.uid != version.uid


def _owner(entry: Entry) -> dict[str, object]:
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": entry.kind,
        "name": entry.name[1],
        "uid": entry.uid,
        "controller": True,
    }


def _unreadable(what: str, error: ClusterError) -> Refusal:
    if isinstance(error, ClusterUnavailable) and error.status is None:
        message = f"{what} could not be read, because the Kubernetes API did not answer; it is tried again."
    else:
        message = f"{what} can't be read by the operator: {error.message}"
    return Refusal(Reason.WAITING_FOR_SECRET, message)


def _unwritable(what: str, error: ClusterError) -> Refusal:
    message = f"{what} can't be written by the operator: {error.message}"
    return Refusal(Reason.WAITING_FOR_SECRET, message)


def _not_ours(field: str, entry: Entry, name: str) -> Refusal:
    message = (
        f"{field}: Secret {entry.name[0]}/{name} was not made by the operator for this resource: choose another name, "
        "or delete it."
    )
    return Refusal(Reason.CONFLICT, message)


def _just_changed(entry: Entry, name: str) -> Refusal:
    message = f"Secret {entry.name[0]}/{name} was just changed by another client; it is looked at again."
    return Refusal(Reason.WAITING_FOR_SECRET, message)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
