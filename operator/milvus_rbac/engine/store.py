"""What Kubernetes holds, as last seen: our resources and the versions of Secrets, with the ways to find them again.

It knows nothing of Milvus and decides nothing; it only says which resources a change concerns.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from milvus_rbac.domain.claims import SecretVersion
from milvus_rbac.kinds import KINDS, Claimant, MilvusConnection, MilvusUser, Resource
from milvus_rbac.kube.cluster import FINALIZER

Name = tuple[str, str]
"""Namespace and name."""

CLASSES: Mapping[str, type[Resource]] = {kind.__name__: kind for kind in KINDS}
MOST_REMOVED = 10_000
"""How many objects that are gone are remembered, against late words of them."""
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
            if self.model.spec.tls and self.model.spec.tls.ca_secret_ref:
                yield namespace, self.model.spec.tls.ca_secret_ref.name


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


class Store:
    """Everything last seen, by uid: events of a deleted object and of its namesake may cross."""

    def __init__(self, default_connection: Name | None = None) -> None:
        self._default_connection = default_connection
        self.entries: dict[str, Entry] = {}
        self._removed: dict[str, None] = {}
        self._told: dict[str, tuple[object, ...]] = {}
        self._by_name: dict[tuple[str, Name], str] = {}
        self._by_secret: defaultdict[Name, set[str]] = defaultdict(set)
        self._by_connection: defaultdict[Name, set[str]] = defaultdict(set)
        self._secrets: dict[Name, SecretVersion] = {}

    def put(self, body: Mapping[str, Any], *, answered: bool = False) -> tuple[Entry, bool]:
        """Remember an object; tell whether there is something new to do for it.

        `answered` is for what a write of our own gave back: it may hold somebody's change that was not told yet, so the
        event that follows still brings the news.
        """
        entry = read_entry(body)
        if entry.uid in self._removed:
            return entry, False  # the answer to a PATCH of ours came after the news of the end
        known = self.entries.get(entry.uid)
        if known is not None and _is_older(entry, known):
            entry = known
        if known is not None:
            self._unlink(known)
        self.entries[entry.uid] = entry
        namesake = self.find(entry.kind, entry.name)
        if namesake is None or not _is_older(entry, namesake):
            self._by_name[entry.kind, entry.name] = entry.uid
        for secret in entry.secrets:
            self._by_secret[secret].add(entry.uid)
        if (connection := self.connection_name(entry)) is not None:
            self._by_connection[connection].add(entry.uid)
        is_news = self._told.get(entry.uid) != entry.trigger
        if not answered:
            self._told[entry.uid] = entry.trigger
        return entry, is_news

    def remove(self, uid: str) -> Entry | None:
        """Forget an object that is gone."""
        self._removed[uid] = None
        while len(self._removed) > MOST_REMOVED:
            del self._removed[next(iter(self._removed))]
        entry = self.entries.pop(uid, None)
        self._told.pop(uid, None)
        if entry is not None:
            self._unlink(entry)
        return entry

    def find(self, kind: str, name: Name) -> Entry | None:
        """Find the object that has the name now."""
        return self.entries.get(self._by_name.get((kind, name), ""))

    def known(self, uids: Iterable[str]) -> list[Entry]:
        """Give those of these objects that are still there."""
        return [self.entries[uid] for uid in uids if uid in self.entries]

    def of_kind(self, kind: str) -> list[Entry]:
        """List the objects of a kind."""
        return [entry for entry in self.entries.values() if entry.kind == kind]

    def connection_name(self, entry: Entry) -> Name | None:
        """Say which MilvusConnection a claiming resource means; None without one and without a default."""
        if entry.claimant is None:
            return None
        ref = entry.claimant.spec.connection_ref
        return (ref.namespace or entry.name[0], ref.name) if ref else self._default_connection

    def claimants(self, connection: Name) -> list[Entry]:
        """List the resources that may use a MilvusConnection: those that name it, in its own namespace."""
        named = (self.entries[uid] for uid in self._by_connection.get(connection, ()))
        return [entry for entry in named if entry.name[0] == connection[0]]

    def naming(self, connection: Name) -> list[Entry]:
        """List the resources that name a MilvusConnection, wherever they are."""
        return [self.entries[uid] for uid in self._by_connection.get(connection, ())]

    def put_secret(self, name: Name, version: SecretVersion | None) -> frozenset[str]:
        """Remember a Secret's version, None when it is gone; give the uids of who reads it, none if nothing is new."""
        if self._secrets.get(name) == version:
            return frozenset()
        if version is None:
            del self._secrets[name]
        else:
            self._secrets[name] = version
        return frozenset(self._by_secret.get(name, ()))

    def secret(self, name: Name) -> SecretVersion | None:
        """Give the newest version that was seen of a Secret."""
        return self._secrets.get(name)

    def secret_names(self) -> Iterable[Name]:
        """List the Secrets that are there."""
        return tuple(self._secrets)

    def _unlink(self, entry: Entry) -> None:
        if self._by_name.get((entry.kind, entry.name)) == entry.uid:
            del self._by_name[entry.kind, entry.name]
        for secret in entry.secrets:
            self._by_secret[secret].discard(entry.uid)
        if (connection := self.connection_name(entry)) is not None:
            self._by_connection[connection].discard(entry.uid)


def _is_older(entry: Entry, known: Entry) -> bool:
    """Tell whether an event was overtaken by what a PATCH of ours answered. Versions of one object are comparable."""
    return int(entry.metadata["resourceVersion"]) < int(known.metadata["resourceVersion"])
