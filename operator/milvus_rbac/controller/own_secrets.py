"""The Secrets that the operator makes: generated passwords, and what an application connects with.

Each is controlled by the MilvusUser that asks for it, and goes with it. One that is not is never touched.
"""

import base64
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from milvus_rbac.api.v1alpha1 import GROUP, VERSION, MilvusUser
from milvus_rbac.controller.claiming import password_in_force
from milvus_rbac.controller.entry import Entry
from milvus_rbac.controller.vault import PREVIOUS_KEY, read_password, secret_version
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.kube.resources import Cluster
from milvus_rbac.milvus.channel import Endpoint
from milvus_rbac.milvus.port import Address, Password

ROTATED_ANNOTATION: Final = f"{GROUP}/rotated"
"""On a generated Secret: the rotation that it was last generated for."""
PASSWORD_KEY: Final = "password"  # noqa: S105 - the name of the key
BASIC_AUTH: Final = "kubernetes.io/basic-auth"
BINDING: Final = "servicebinding.io/milvus"

Data = Mapping[str, str]
"""A Secret's data, base64."""


class OwnSecrets:
    """Of one connection. It remembers what it found in order, so that nothing is read twice."""

    def __init__(self, cluster: Cluster, may_write: Callable[[], None]) -> None:
        self._cluster = cluster
        self._may_write = may_write
        self._generated: dict[str, tuple[object, str]] = {}
        self._bound: dict[str, tuple[object, Data]] = {}
        self._put_off: set[str] = set()

    def forget(self, uid: str) -> None:
        """A resource is gone."""
        self._generated.pop(uid, None)
        self._bound.pop(uid, None)
        self._put_off.discard(uid)

    def has_put_off(self, uid: str) -> bool:
        """Tell whether a rotation waits for the one before it to have reached Milvus."""
        return uid in self._put_off

    async def generate(self, entry: Entry, newest: object) -> Refusal | None:
        """See to it that a user's generated password is there; `newest` is the Secret's version as last seen.

        A rotation keeps the text before under `previous-password`: written with the new one in the same breath, it is there
        even if the operator ends before Milvus is told. Until it is known to be told, that text is not given up for another.
        """
        assert isinstance(entry.model, MilvusUser)  # noqa: S101 - only users have passwords
        spec = entry.model.spec
        if spec.generate_password is None:
            return None
        asked, name = entry.rotation, spec.generate_password.secret_name
        if newest is not None and self._generated.get(entry.uid) == (newest, asked):
            return None
        secret: Mapping[str, Any] | None = await self._cluster.get_secret(entry.name[0], name)
        if secret is not None and not is_controlled_by(secret, entry.uid):
            return _not_ours("spec.generatePassword", entry, name)
        kept = dict((secret or {}).get("data") or {})
        is_good = read_password(secret, *entry.name, PASSWORD_KEY).refusal is None
        done = ((secret or {}).get("metadata", {}).get("annotations") or {}).get(ROTATED_ANNOTATION, "")
        is_due = bool(asked) and asked != done
        self._put_off.discard(entry.uid)
        if secret and is_good and is_due and PREVIOUS_KEY in kept and not _may_be_in_force(entry, secret):
            self._put_off.add(entry.uid)
            return None
        if not is_good or is_due:
            data = {"username": _encoded(spec.user_name), PASSWORD_KEY: _encoded(generate_password())}
            if is_good:
                data[PREVIOUS_KEY] = kept[PASSWORD_KEY]
            secret = await self._write(entry, name, BASIC_AUTH, secret, data, {ROTATED_ANNOTATION: asked})
            if secret is None:
                return _just_changed(entry, name)
        assert secret is not None  # noqa: S101 - a password that is good is in one
        self._generated[entry.uid] = (secret_version(secret), asked)
        return None

    async def bind(
        self, entry: Entry, address: Address, password: Password, newest: object
    ) -> Refusal | None:
        """See to it that the application's Secret holds what is in force."""
        assert isinstance(entry.model, MilvusUser)  # noqa: S101 - as above
        spec = entry.model.spec
        if spec.connection_secret is None:
            return None
        name, data = spec.connection_secret.name, binding(address, spec.user_name, password)
        if name == spec.password_source.name:
            return _not_ours("spec.connectionSecret", entry, name)
        if newest is not None and self._bound.get(entry.uid) == (newest, data):
            return None
        secret: Mapping[str, Any] | None = await self._cluster.get_secret(entry.name[0], name)
        if secret is not None and not is_controlled_by(secret, entry.uid):
            return _not_ours("spec.connectionSecret", entry, name)
        if secret is None or secret.get("data") != data:
            secret = await self._write(entry, name, BINDING, secret, data, {})
            if secret is None:
                return _just_changed(entry, name)
        self._bound[entry.uid] = (secret_version(secret), data)
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


def _may_be_in_force(entry: Entry, secret: Mapping[str, Any]) -> bool:
    """Tell whether a Secret may hold what Milvus accepts: not if the status names another version of it."""
    known, version = password_in_force(entry), replace(secret_version(secret), key=PASSWORD_KEY)
    return known is None or known == version or known.uid != version.uid


def generate_password() -> str:
    """Choose a password that every Milvus takes: 32 letters, digits, `-` and `_`, of three classes at least (Zilliz Cloud)."""
    while True:
        text = secrets.token_urlsafe(24)
        if (
            any(c.isupper() for c in text)
            and any(c.islower() for c in text)
            and any(c.isdigit() for c in text)
        ):
            return text


def binding(address: Address, username: str, password: Password) -> Data:
    """Say all that an application needs, under the keys of a Service Binding."""
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
    """Tell whether a Secret belongs to the resource with this uid, and so was made by the operator for it."""
    owners = secret["metadata"].get("ownerReferences") or ()
    return any(owner.get("controller") and owner["uid"] == uid for owner in owners)


def _owner(entry: Entry) -> dict[str, object]:
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": entry.kind,
        "name": entry.name[1],
        "uid": entry.uid,
        "controller": True,
    }


def _not_ours(field: str, entry: Entry, name: str) -> Refusal:
    message = f"{field}: Secret {entry.name[0]}/{name} was made by somebody else: choose another name, or delete it."
    return Refusal(Reason.CONFLICT, message)


def _just_changed(entry: Entry, name: str) -> Refusal:
    message = f"Secret {entry.name[0]}/{name} was just changed by somebody else; it is looked at again."
    return Refusal(Reason.WAITING_FOR_SECRET, message)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
