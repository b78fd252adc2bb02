"""One resource as last seen, and what it says of itself. Knows no other resource."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from milvus_rbac.api.v1alpha1 import KINDS, Claimant, MilvusConnection, MilvusUser, Resource
from milvus_rbac.kube.patches import FINALIZER

Name = tuple[str, str]
"""Namespace and name."""

CLASSES: Mapping[str, type[Resource]] = {kind.__name__: kind for kind in KINDS}
RETAIN_ANNOTATION = "rbac.milvus.io/force-retain"
RECONCILE_ANNOTATION = "rbac.milvus.io/reconcile-at"
ROTATE_ANNOTATION = "rbac.milvus.io/rotate"
ASKING_ANNOTATIONS = (RETAIN_ANNOTATION, RECONCILE_ANNOTATION, ROTATE_ANNOTATION)
"""What people ask for without changing a spec."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One resource: its JSON, and what it means where it can be read."""

    body: Mapping[str, Any]
    model: Resource | None
    """None: the spec does not fit its schema (an old object under a new CRD)."""
    problem: str = ""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The JSON's metadata."""
        metadata: Mapping[str, Any] = self.body["metadata"]
        return metadata

    @property
    def kind(self) -> str:
        """Which of KINDS."""
        return str(self.body["kind"])

    @property
    def uid(self) -> str:
        """The identity that no namesake shares."""
        return str(self.metadata["uid"])

    @property
    def name(self) -> Name:
        """Namespace and name."""
        return self.metadata["namespace"], self.metadata["name"]

    @property
    def log_fields(self) -> Mapping[str, Any]:
        """What a log line about it carries beside its text."""
        namespace, name = self.name
        fields = {"kind": self.kind, "namespace": namespace, "name": name, "generation": self.generation}
        return {"resource": fields}

    @property
    def generation(self) -> int:
        """Counts the changes of the spec."""
        return int(self.metadata.get("generation", 0))

    @property
    def deleting(self) -> bool:
        """Whether somebody deleted it."""
        return "deletionTimestamp" in self.metadata

    @property
    def has_finalizer(self) -> bool:
        """Whether the object stays until we let it go."""
        return FINALIZER in self.metadata.get("finalizers", ())

    @property
    def status(self) -> Mapping[str, Any]:
        """The status as last seen."""
        return self.body.get("status") or {}

    @property
    def trigger(self) -> tuple[object, ...]:
        """What somebody else changes when there is something to do; our own writes leave it alone."""
        annotations = self.metadata.get("annotations") or {}
        asked = (annotations.get(name) for name in ASKING_ANNOTATIONS)
        return (self.generation, self.deleting, *asked)

    @property
    def rotation(self) -> str:
        """Which rotation of a generated password is asked for; empty if none."""
        return str((self.metadata.get("annotations") or {}).get(ROTATE_ANNOTATION, ""))

    @property
    def retain_forced(self) -> bool:
        """Whether an annotation asks to let the resource go without touching Milvus."""
        return (self.metadata.get("annotations") or {}).get(RETAIN_ANNOTATION) == "true"

    @property
    def connection(self) -> MilvusConnection | None:
        """The model of a MilvusConnection."""
        return self.model if isinstance(self.model, MilvusConnection) else None

    @property
    def claimant(self) -> Claimant | None:
        """The model of a resource that claims something."""
        return self.model if isinstance(self.model, Claimant) else None

    @property
    def claimed_name(self) -> str | None:
        """The name in Milvus that the resource claims, even where the rest of it can't be read."""
        spec = self.body.get("spec") or {}
        names = (spec.get(field) for field in ("userName", "roleName", "groupName"))
        return next((name for name in names if name), None)

    @property
    def secrets(self) -> Iterator[Name]:
        """The Secrets that the resource reads."""
        namespace = self.name[0]
        if isinstance(self.model, MilvusUser):
            yield namespace, self.model.spec.password_source.name
            if self.model.spec.connection_secret is not None:
                yield namespace, self.model.spec.connection_secret.name
        elif isinstance(self.model, MilvusConnection):
            yield namespace, self.model.spec.credentials_secret_ref.name
            tls = self.model.spec.tls
            for ref in (tls.ca_secret_ref, tls.client_cert_secret_ref) if tls else ():
                if ref is not None:
                    yield namespace, ref.name


def read_entry(body: Mapping[str, Any]) -> Entry:
    """Read an object of one of KINDS; managedFields, half of its size, are dropped."""
    metadata = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    slim = {**body, "metadata": metadata}
    try:
        return Entry(slim, CLASSES[body["kind"]].parse(slim))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return Entry(slim, None, f"{where}: {first['msg']}")


Intents = Mapping[str, Mapping[str, Any]]
"""What was about to be created, by the uid of the resource, as status.inFlight has it."""


def intents_of(status: Mapping[str, Any]) -> Intents:
    """Read status.inFlight of a connection."""
    return {intent["uid"]: intent for intent in status.get("inFlight") or ()}
