"""One resource as the cache keeps it: what decides and what is compared, without what is big. Knows no other resource."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from pydantic import ValidationError

from milvus_rbac.api.v1alpha1 import KINDS, Resource
from milvus_rbac.api.v1alpha1.claimant import ClaimantSpec
from milvus_rbac.api.v1alpha1.milvusconnection import MilvusConnectionSpec
from milvus_rbac.api.v1alpha1.milvusprivilegegroup import MilvusPrivilegeGroupSpec
from milvus_rbac.api.v1alpha1.milvusrole import MilvusRoleSpec
from milvus_rbac.api.v1alpha1.milvususer import MilvusUserSpec
from milvus_rbac.domain.claims import SecretVersion
from milvus_rbac.domain.conditions import (
    DRIFTED_TYPE,
    PASSWORD_TYPE,
    READY_TYPE,
    RECONCILING_TYPE,
    STALLED_TYPE,
    Condition,
)
from milvus_rbac.domain.record import Record, record_of, row_item
from milvus_rbac.kube.patches import FINALIZER
from milvus_rbac.kube.resources import GROUP_VERSION

Name = tuple[str, str]
"""Namespace and name."""
Spec = MilvusConnectionSpec | MilvusUserSpec | MilvusRoleSpec | MilvusPrivilegeGroupSpec

CLASSES: Final[Mapping[str, type[Resource]]] = {kind.__name__: kind for kind in KINDS}
CONNECTION: Final = "MilvusConnection"
RETAIN_ANNOTATION: Final = "rbac.milvus.io/force-retain"
RECONCILE_ANNOTATION: Final = "rbac.milvus.io/reconcile-at"
ROTATE_ANNOTATION: Final = "rbac.milvus.io/rotate"
ASKING_ANNOTATIONS: Final = (RETAIN_ANNOTATION, RECONCILE_ANNOTATION, ROTATE_ANNOTATION)
"""What people ask for without changing a spec."""

OWN_TYPES: Final = (READY_TYPE, PASSWORD_TYPE, DRIFTED_TYPE, STALLED_TYPE, RECONCILING_TYPE)
"""The conditions that the operator writes."""

_BIG: Final = ("grants", "plan", "privileges")
"""Fields of a status of which the cache keeps a record only."""
_HELD: Final = ("grants", "privileges", "roles")
"""Fields of a status that say what the object in Milvus holds, one for each kind."""
_HEAVY: Final = 500
"""A claim that may expand to more grants than this is reconciled apart from the others."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One resource as last seen."""

    kind: str
    uid: str
    name: Name
    resource_version: int
    generation: int
    created_at: str
    """creationTimestamp: RFC 3339 in UTC, so text order is time order."""
    deleting: bool
    finalizers: tuple[str, ...]
    annotations: tuple[str | None, ...]
    """The values of ASKING_ANNOTATIONS."""
    spec: Spec | None
    """None: the spec does not fit its schema (an old object under a new CRD)."""
    problem: str
    claimed_name: str
    """The name in Milvus, even where the rest of the spec can't be read; empty for a MilvusConnection."""
    status: Mapping[str, Any]
    """The status without its conditions, each of _BIG as a Record; see `compact`."""
    conditions: tuple[Mapping[str, Any], ...]
    """As the API server has them, those of other writers included."""
    databases: frozenset[str]
    """Of a MilvusRole: where its grants were when the status was written."""
    has_status: bool

    @property
    def has_finalizer(self) -> bool:
        """Whether the object stays until the operator lets it go."""
        return FINALIZER in self.finalizers

    @property
    def trigger(self) -> tuple[object, ...]:
        """Return what others change when there is something to do; the operator's own writes leave it alone."""
        return (self.generation, self.deleting, *self.annotations)

    @property
    def retain_forced(self) -> bool:
        """Whether an annotation asks to let the resource go without touching Milvus."""
        return self.annotations[0] == "true"

    @property
    def rotation(self) -> str:
        """Return which rotation of a generated password is asked for; empty if none."""
        return self.annotations[2] or ""

    @property
    def connection(self) -> MilvusConnectionSpec | None:
        """Return the spec of a MilvusConnection."""
        return self.spec if isinstance(self.spec, MilvusConnectionSpec) else None

    @property
    def claimant(self) -> ClaimantSpec | None:
        """Return the spec of a resource that claims something."""
        return self.spec if isinstance(self.spec, ClaimantSpec) else None

    @property
    def user(self) -> MilvusUserSpec | None:
        """Return the spec of a MilvusUser."""
        return self.spec if isinstance(self.spec, MilvusUserSpec) else None

    @property
    def has_claim(self) -> bool:
        """Whether the status says that something in Milvus is this resource's."""
        return "claim" in self.status

    @property
    def password(self) -> SecretVersion | None:
        """Return the version of the Secret that the status says is in force."""
        known = self.status.get("password")
        if not known:
            return None
        return SecretVersion(
            known.get("secretUid", ""), known.get("secretResourceVersion", ""), known.get("secretKey", "")
        )

    @property
    def record(self) -> Record | None:
        """Return what the status says that the object in Milvus holds; None where it says nothing, or not all."""
        held = next((self.status[field] for field in _HELD if field in self.status), None)
        if isinstance(held, Record):
            return None if held.length < self.status.get("grantCount", 0) else held
        return None if held is None else record_of(held)

    @property
    def expires_at(self) -> datetime | None:
        """Return the time from which on a user is not to exist."""
        return self.user.expires_at if self.user else None

    @property
    def weight(self) -> int:
        """Return how many grants the claim may expand to, 1 for what is no role."""
        if not isinstance(self.spec, MilvusRoleSpec):
            return 1
        return sum(len(row.privileges) * max(1, len(row.collections or ())) for row in self.spec.grants) or 1

    @property
    def is_heavy(self) -> bool:
        """Whether the claim is reconciled apart from others, so that they need not wait for it."""
        return self.weight > _HEAVY

    @property
    def secrets(self) -> Iterator[Name]:
        """Yield the Secrets that the resource reads or hands out."""
        namespace = self.name[0]
        if isinstance(self.spec, MilvusUserSpec):
            yield namespace, self.spec.password_source.name
            if self.spec.connection_secret is not None:
                yield namespace, self.spec.connection_secret.name
        elif isinstance(self.spec, MilvusConnectionSpec):
            yield namespace, self.spec.credentials_secret_ref.name
            tls = self.spec.tls
            for ref in (tls.ca_secret_ref, tls.client_cert_secret_ref) if tls else ():
                if ref is not None:
                    yield namespace, ref.name

    @property
    def body(self) -> dict[str, Any]:
        """Return as much of the object as a guarded write needs."""
        namespace, name = self.name
        metadata: dict[str, Any] = {
            "namespace": namespace,
            "name": name,
            "uid": self.uid,
            "resourceVersion": str(self.resource_version),
            "finalizers": list(self.finalizers),
        }
        if self.deleting:
            metadata["deletionTimestamp"] = "set"
        body: dict[str, Any] = {"apiVersion": GROUP_VERSION, "kind": self.kind, "metadata": metadata}
        if self.has_status:
            body["status"] = {key: self.status[key] for key in ("claim",) if key in self.status}
            if self.conditions:
                body["status"]["conditions"] = list(self.conditions)
        return body

    @property
    def own_conditions(self) -> tuple[Condition, ...]:
        """Return the operator's own conditions as they were last written."""
        return tuple(_read_condition(one) for one in self.conditions if one["type"] in OWN_TYPES)

    @property
    def ready(self) -> Condition | None:
        """Return the Ready condition as the operator last wrote it; that with which every resource begins says nothing."""
        found = next((one for one in self.conditions if one["type"] == READY_TYPE), None)
        return _read_condition(found) if found is not None and found["status"] != "Unknown" else None

    @property
    def log_fields(self) -> Mapping[str, Any]:
        """Return what a log line about the resource carries beside its text."""
        namespace, name = self.name
        fields = {"kind": self.kind, "namespace": namespace, "name": name, "generation": self.generation}
        return {"resource": fields}

    def __str__(self) -> str:
        return f"{self.kind} {'/'.join(self.name)}"


def read_entry(body: Mapping[str, Any], known: Entry | None = None) -> Entry:
    """Return an object of one of KINDS as the cache keeps it.

    Args:
        body: the API server's JSON.
        known: the same object as it was before: of an unchanged generation, its spec is not parsed again.
    """
    metadata, status = body["metadata"], body.get("status") or {}
    generation = int(metadata.get("generation", 0))
    if known is not None and known.generation == generation:
        spec, problem, claimed = known.spec, known.problem, known.claimed_name
    else:
        spec, problem = _read_spec(body)
        claimed = _claimed_name(body.get("spec") or {})
    annotations = metadata.get("annotations") or {}
    return Entry(
        kind=sys.intern(body["kind"]),
        uid=metadata["uid"],
        name=(sys.intern(metadata["namespace"]), metadata["name"]),
        resource_version=int(metadata["resourceVersion"]),
        generation=generation,
        created_at=metadata["creationTimestamp"],
        deleting="deletionTimestamp" in metadata,
        finalizers=tuple(sys.intern(one) for one in metadata.get("finalizers") or ()),
        annotations=tuple(annotations.get(name) for name in ASKING_ANNOTATIONS),
        spec=spec,
        problem=problem,
        claimed_name=claimed,
        status=compact(status),
        conditions=tuple(_interned(one) for one in status.get("conditions") or ()),
        databases=frozenset(sys.intern(one.get("database", "")) for one in status.get("grants") or ()),
        has_status="status" in body,
    )


def compact(status: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a status without its conditions, and with a Record in the place of each big list."""
    return {
        sys.intern(key): _record(value) if key in _BIG and not isinstance(value, Record) else value
        for key, value in status.items()
        if key != "conditions"
    }


def _record(rows: Iterable[Any]) -> Record:
    return record_of(row if isinstance(row, str) else row_item(row) for row in rows)


def _interned(condition: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a condition whose keys and short words are shared with those of the other objects."""
    return {
        sys.intern(key): sys.intern(value)
        if isinstance(value, str) and key in {"type", "status", "reason"}
        else value
        for key, value in condition.items()
    }


def _read_condition(written: Mapping[str, Any]) -> Condition:
    return Condition(
        written["type"],
        written["status"],
        written["reason"],
        written["message"],
        written.get("observedGeneration", 0),
        written["lastTransitionTime"],
    )


def _read_spec(body: Mapping[str, Any]) -> tuple[Spec | None, str]:
    try:
        spec = CLASSES[body["kind"]].parse_spec(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(("spec", *(str(part) for part in first["loc"])))
        return None, f"{where} is missing" if first["type"] == "missing" else f"{where}: {first['msg']}"
    return cast("Spec", spec), ""


def _claimed_name(spec: Mapping[str, Any]) -> str:
    names = (spec.get(field) for field in ("userName", "roleName", "groupName"))
    return sys.intern(str(next((name for name in names if name), "")))


Intents = Mapping[str, Mapping[str, Any]]
"""What is about to be created, by the uid of its resource, as status.inFlight has it."""


def intents_of(status: Mapping[str, Any]) -> Intents:
    """Return status.inFlight of a connection, by uid."""
    return {intent["uid"]: intent for intent in status.get("inFlight") or ()}
