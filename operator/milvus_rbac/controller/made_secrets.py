"""The Secrets that the operator makes for a MilvusUser: a generated password, and what its application needs.

Such a Secret goes with its MilvusUser only if the user goes, too: an application never loses a password that is in force. A
Secret that the operator did not make is never touched.
"""

import base64
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from milvus_rbac.api.v1alpha1 import GROUP
from milvus_rbac.api.v1alpha1.names import PasswordSecretRef, SecretMetadata
from milvus_rbac.controller.cache import Cache
from milvus_rbac.controller.claims import keeps_on_deletion
from milvus_rbac.controller.entry import CONNECTION, Entry, Name
from milvus_rbac.controller.events import Event, EventReason, EventRecorder
from milvus_rbac.controller.marks import (
    LABELS,
    annotations_for,
    controller_of,
    is_for,
    owner_reference,
    secret_version,
)
from milvus_rbac.controller.memory import ClaimMemory
from milvus_rbac.controller.passwords import PREVIOUS_KEY, read_password
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.kube.client import ClusterError, ClusterUnavailable
from milvus_rbac.kube.resources import Cluster
from milvus_rbac.milvus.channel import Endpoint
from milvus_rbac.milvus.port import Address, Password

ROTATED_ANNOTATION: Final = f"{GROUP}/rotated"
"""On a generated Secret: the rotation that it was last generated for."""
PASSWORD_KEY: Final = "password"  # noqa: S105 - the name of the key
BASIC_AUTH: Final = "kubernetes.io/basic-auth"
BINDING: Final = "servicebinding.io/milvus"
ATTEMPTS: Final = 3

logger = logging.getLogger(__name__)

Data = Mapping[str, str]
"""A Secret's data, base64."""
Secret = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A Secret as it should be."""

    name: str
    type: str
    data: Data
    annotations: Mapping[str, str]
    metadata: SecretMetadata | None


@dataclass(frozen=True, slots=True)
class MadeSecrets:
    """Of one connection's users, or of those that no connection serves."""

    cluster: Cluster
    cache: Cache
    may_write: Callable[[], None]
    recorder: EventRecorder

    async def generate(self, entry: Entry, record: ClaimMemory) -> Refusal | None:
        """Make sure that a user's generated password is there; return why it is not.

        A rotation keeps the text before under `previous-password`: written together with the new one, it is there even if
        the operator ends before Milvus has the new one. Until that is known, the text before is not replaced by another.
        """
        assert entry.user is not None  # noqa: S101 - only users have passwords
        spec = entry.user.generate_password
        if spec is None:
            return None
        newest = self.cache.secret((entry.name[0], spec.secret_name))
        if newest is not None and record.generated == (newest, entry.rotation, self._stays(entry), spec):
            return None
        try:
            return await self._generate(entry, record, spec.secret_name, spec.metadata)
        except ClusterError as error:
            return _unwritable(f"Secret {entry.name[0]}/{spec.secret_name}", error)

    async def _generate(
        self, entry: Entry, record: ClaimMemory, name: str, metadata: SecretMetadata | None
    ) -> Refusal | None:
        assert entry.user is not None  # noqa: S101 - only users have passwords
        secret: Secret | None = await self.cluster.get_secret(entry.name[0], name)
        if secret is not None and not self._is_ours(secret, entry):
            return _not_ours("spec.generatePassword", entry, name)
        kept = dict((secret or {}).get("data") or {})
        good = read_password(secret, entry.name[0], PasswordSecretRef(name=name, key=PASSWORD_KEY))
        done = ((secret or {}).get("metadata", {}).get("annotations") or {}).get(ROTATED_ANNOTATION, "")
        is_good, is_due = good.refusal is None, bool(entry.rotation) and entry.rotation != done
        is_put_off = is_good and is_due and PREVIOUS_KEY in kept and not _may_be_in_force(entry, secret)
        record.is_rotation_put_off = is_put_off
        data, rotated = kept, done
        if not is_good or (is_due and not is_put_off):
            data = {"username": _encoded(entry.user.user_name), PASSWORD_KEY: _encoded(generate_password())}
            if is_good:
                data[PREVIOUS_KEY] = kept[PASSWORD_KEY]
            rotated = entry.rotation
            message = f"Generated a password for user {entry.claimed_name} into Secret {name}."
            self.recorder.record(entry, [Event("Normal", EventReason.PASSWORD_GENERATED, message)])
        wanted = _Wanted(name, BASIC_AUTH, data, {ROTATED_ANNOTATION: rotated}, metadata)
        secret = await self._write(entry, secret, wanted)
        if secret is None:
            return _just_changed(entry, name)
        if not is_put_off:
            spec = entry.user.generate_password
            record.generated = (secret_version(secret), entry.rotation, self._stays(entry), spec)
        return None

    async def hand_out(
        self, entry: Entry, record: ClaimMemory, address: Address, password: Password
    ) -> Refusal | None:
        """Make sure that the application's Secret holds what is in force; return why it does not."""
        assert entry.user is not None  # noqa: S101 - only users have passwords
        spec = entry.user.connection_secret
        if spec is None:
            return None
        if spec.name == entry.user.password_source.name:
            return _not_ours("spec.connectionSecret", entry, spec.name)
        data = binding(address, entry.user.user_name, password)
        newest = self.cache.secret((entry.name[0], spec.name))
        if newest is not None and record.bound == (newest, data, self._stays(entry), spec):
            return None
        try:
            secret: Secret | None = await self.cluster.get_secret(entry.name[0], spec.name)
            if secret is not None and not self._is_ours(secret, entry):
                return _not_ours("spec.connectionSecret", entry, spec.name)
            secret = await self._write(entry, secret, _Wanted(spec.name, BINDING, data, {}, spec.metadata))
        except ClusterError as error:
            return _unwritable("spec.connectionSecret: the Secret", error)
        if secret is not None:
            record.bound = (secret_version(secret), data, self._stays(entry), spec)
        return _just_changed(entry, spec.name) if secret is None else None

    async def release(self, entry: Entry) -> None:
        """Have the Secrets of a user that stays in Milvus stay, too, when its MilvusUser goes.

        Raises:
            ClusterError: the API server did not take it.
        """
        for name in sorted(self.cache.made_secrets(entry) | set(entry.secrets)):
            for _ in range(ATTEMPTS):
                secret = await self.cluster.get_secret(*name)
                owner = controller_of(secret) if secret else None
                if secret is None or owner is None or owner["uid"] != entry.uid:
                    break
                self.may_write()
                if await self.cluster.change_secret(secret, owners=[]) is not None:
                    self._tell_released(entry, name)
                    break
            else:
                raise ClusterUnavailable(f"Secret {'/'.join(name)} is changed by another client all the time")

    async def delete_unnamed(self, entry: Entry) -> Refusal | None:
        """Delete the Secrets that were made for a user and that no spec names any more; return why one is still there."""
        for name in self.unnamed(entry):
            try:
                secret = await self.cluster.get_secret(*name)
                if secret is None or not self._is_ours(secret, entry):
                    continue
                self.may_write()
                await self.cluster.delete_secret(secret)
            except ClusterError as error:
                message = f"Secret {'/'.join(name)} is not named any more, and can't be deleted by the operator: {error.message}"
                return Refusal(Reason.WAITING_FOR_SECRET, message)
            message = f"Deleted Secret {name[1]}, which the operator had made and no spec names any more."
            self.recorder.record(entry, [Event("Normal", EventReason.SECRET_DELETED, message)])
        return None

    def unnamed(self, entry: Entry) -> Sequence[Name]:
        """Return the Secrets that were made for a user and that no spec names any more."""
        return sorted(name for name in self.cache.made_secrets(entry) if not self.cache.is_named(name))

    async def former_password(self, entry: Entry) -> Password | None:
        """Return the password in a Secret that was made for the user and is not named any more.

        Raises:
            ClusterError: it could not be read.
        """
        for namespace, name in self.unnamed(entry):
            secret = await self.cluster.get_secret(namespace, name)
            found = read_password(secret, namespace, PasswordSecretRef(name=name, key=PASSWORD_KEY)).password
            if found is not None:
                return found
        return None

    def _connection(self, entry: Entry) -> Name:
        return self.cache.connection_name(entry) or ("", "")

    def _is_ours(self, secret: Secret, entry: Entry) -> bool:
        return is_for(secret, entry, self._connection(entry))

    def _stays(self, entry: Entry) -> bool:
        """Return whether the user stays in Milvus when its resource goes, as far as its spec says."""
        tenancy = self.cache.tenancy(self._connection(entry))
        return keeps_on_deletion(entry, tenancy.permit(entry) if tenancy else None)

    async def _write(self, entry: Entry, current: Secret | None, wanted: _Wanted) -> Secret | None:
        """Create or change a Secret; return it as it is then, None where another client was faster."""
        labels, annotations = dict(LABELS), dict(wanted.annotations)
        if wanted.metadata is not None:
            labels = (wanted.metadata.labels or {}) | labels
            annotations = (wanted.metadata.annotations or {}) | annotations
        annotations |= annotations_for(entry, self._connection(entry))
        owners = [] if self._stays(entry) else [owner_reference(entry)]
        if current is None:
            self.may_write()
            metadata = {
                "name": wanted.name,
                "namespace": entry.name[0],
                "annotations": annotations,
                "labels": labels,
                "ownerReferences": owners,
            }
            body = {"metadata": metadata, "type": wanted.type, "data": dict(wanted.data)}
            return await self.cluster.create_secret(body)
        if _is_as_wanted(current, wanted.data, labels, annotations, owners):
            return current
        self.may_write()
        return await self.cluster.change_secret(
            current, data=wanted.data, labels=labels, annotations=annotations, owners=owners
        )

    def _tell_released(self, entry: Entry, name: Name) -> None:
        message = (
            f"Secret {'/'.join(name)} stays without {entry}, because the user {entry.claimed_name} is not dropped from Milvus: the "
            "password may be in force."
        )
        logger.info(message, extra=entry.log_fields)
        connection = self.cache.find(CONNECTION, self._connection(entry))
        if connection is not None:
            self.recorder.record(connection, [Event("Normal", EventReason.SECRET_RELEASED, message)])


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


def _is_as_wanted(
    secret: Secret,
    data: Data,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    owners: Sequence[Mapping[str, object]],
) -> bool:
    metadata = secret["metadata"]
    owner = controller_of(secret)
    is_owned = owner["uid"] == owners[0]["uid"] if owner and owners else not owner and not owners
    return (
        (secret.get("data") or {}) == data
        and labels.items() <= (metadata.get("labels") or {}).items()
        and annotations.items() <= (metadata.get("annotations") or {}).items()
        and is_owned
    )


def _may_be_in_force(entry: Entry, secret: Secret | None) -> bool:
    """Return whether a Secret may hold what Milvus accepts: not if the status names another version of it."""
    if secret is None:
        return False
    known, version = entry.password, replace(secret_version(secret), key=PASSWORD_KEY)
    return known is None or known == version or known.uid != version.uid


def _unwritable(what: str, error: ClusterError) -> Refusal:
    message = f"{what} can't be written by the operator: {error.message}"
    return Refusal(Reason.WAITING_FOR_SECRET, message)


def _not_ours(field: str, entry: Entry, name: str) -> Refusal:
    message = f"{field}: Secret {entry.name[0]}/{name} was not made by the operator for this user: choose another name, or delete it."
    return Refusal(Reason.CONFLICT, message)


def _just_changed(entry: Entry, name: str) -> Refusal:
    message = f"Secret {entry.name[0]}/{name} was just changed by another client; it is looked at again."
    return Refusal(Reason.WAITING_FOR_SECRET, message)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
