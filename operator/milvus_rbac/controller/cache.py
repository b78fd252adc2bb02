"""The informer cache: what Kubernetes holds, as last seen, and the ways to find it again.

It knows nothing of Milvus, decides nothing and calls nothing: what has changed waits in `changes` for the manager.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from milvus_rbac.controller.entry import CONNECTION, Entry, Name, read_entry
from milvus_rbac.controller.marks import Mark
from milvus_rbac.controller.tenancy import Labels, Tenancy
from milvus_rbac.domain.claims import Kind, SecretVersion

MOST_TOMBSTONES = 10_000
"""How many objects that are gone are remembered, against events that arrive late."""
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

Claimed = tuple[Name, str, str]
"""Connection, kind and name in Milvus."""


class CacheChange(NamedTuple):
    """Something that was seen and that no reconciler was told of yet."""

    entry: Entry
    is_gone: bool = False
    by_secret: bool = False
    """A Secret that the resource reads has changed, not the resource."""


class Standing(NamedTuple):
    """How a resource stands, as far as metrics tell."""

    connection: str
    """As namespace/name: of a MilvusConnection its own, of others the one that they name."""
    is_connection: bool
    reason: str
    """Of its Ready condition; `Unknown` before there is one."""
    interval: float | None = None
    """Of a MilvusConnection, the seconds between two looks; None where its spec can't be read."""


class Cache:
    """Everything last seen, by uid: events of a deleted object and of its namesake may cross."""

    def __init__(self, default_connection: Name | None = None) -> None:
        self.entries: dict[str, Entry] = {}
        self.changes: list[CacheChange] = []
        self.changed = asyncio.Event()
        """Set while `changes` holds something."""
        self.addresses: dict[str, str] = {}
        """By the uid of a MilvusConnection: where the Milvus is that its milvusRef names, as last looked up."""
        self.labels: Labels = {}
        """Of the namespaces, as last read; empty while no connection needs them."""
        self.labels_unreadable = False
        """A connection needs them, and the operator may not read them."""
        self.standings: Counter[Standing] = Counter()
        """How many resources stand how. Counted as they change: thousands are too many to look at whenever metrics are read."""
        self._default_connection = default_connection
        self._tombstones: dict[str, int] = {}
        self._seen_at: dict[str, float] = {}
        self._versions: set[int] = set()
        """The resourceVersions of all entries: no two objects of a cluster share one."""
        self._by_name: dict[tuple[str, Name], str] = {}
        self._by_secret: defaultdict[Name, set[str]] = defaultdict(set)
        self._by_kind: defaultdict[tuple[Name, str], dict[str, None]] = defaultdict(dict)
        self._by_claim: defaultdict[Claimed, set[str]] = defaultdict(set)
        self._counts: defaultdict[Name, Counter[tuple[str, str]]] = defaultdict(Counter)
        self._secrets: dict[Name, SecretVersion] = {}
        self._marks: dict[Name, Mark] = {}
        """Of the Secrets that the operator made."""
        self._by_mark: defaultdict[tuple[str, ...], set[Name]] = defaultdict(set)

    # --- what was seen

    def put(self, body: Mapping[str, Any], *, listed_at: float | None = None) -> Entry:
        """Remember an object.

        Args:
            body: the API server's JSON, of an event or of the answer to a write.
            listed_at: when the LIST that holds it began, on the monotonic clock: what a LIST shows counts even if its
                resourceVersion is lower than the known one (etcd was restored from a backup), unless the object was
                seen since.
        """
        metadata = body["metadata"]
        uid, version = metadata["uid"], int(metadata["resourceVersion"])
        known = self.entries.get(uid)
        if known is not None and known.resource_version == version:
            return known
        is_authoritative = listed_at is not None and self._seen_at.get(uid, 0.0) < listed_at
        if known is not None and version < known.resource_version and not is_authoritative:
            return known
        if known is None and version <= self._tombstones.get(uid, -1) and not is_authoritative:
            return read_entry(body)  # an event of an object that is gone, late
        entry = read_entry(body, known)
        self._tombstones.pop(uid, None)
        self._seen_at[uid] = time.monotonic()
        if known is not None:
            self._versions.discard(known.resource_version)
            self._uncount(known)
        self._versions.add(version)
        self.standings[self._standing(entry)] += 1
        self._link(entry, known)
        if known is None or known.trigger != entry.trigger:
            self._note(CacheChange(entry))
        return entry

    def remove(self, uid: str) -> None:
        """Forget an object that is gone. A newer version of it, of an event or a LIST, brings it back."""
        entry = self.entries.pop(uid, None)
        self.addresses.pop(uid, None)
        self._seen_at.pop(uid, None)
        if entry is None:
            return
        self._versions.discard(entry.resource_version)
        self._uncount(entry)
        self._tombstones[uid] = entry.resource_version
        while len(self._tombstones) > MOST_TOMBSTONES:
            del self._tombstones[next(iter(self._tombstones))]
        self._unlink(entry)
        self._note(CacheChange(entry, is_gone=True))

    def put_secret(self, name: Name, version: SecretVersion | None, mark: Mark | None = None) -> None:
        """Remember a Secret's version, None when it is gone, and for whom the operator made it, if it did."""
        if self._secrets.get(name) == version:
            return
        if (before := self._marks.pop(name, None)) is not None:
            _discard(self._by_mark, _mark_key(name, before), name)
        if version is None:
            del self._secrets[name]
        else:
            self._secrets[name] = version
            if mark is not None:
                self._marks[name] = mark
                self._by_mark[_mark_key(name, mark)].add(name)
        for uid in self._by_secret.get(name, ()):
            self._note(CacheChange(self.entries[uid], by_secret=True))

    def take_changes(self) -> list[CacheChange]:
        """Return what has changed since the last call."""
        self.changed.clear()
        changes, self.changes = self.changes, []
        return changes

    def has_version(self, resource_version: str) -> bool:
        """Return whether this is the known version of an object: an event of it brings nothing."""
        return int(resource_version) in self._versions

    # --- what is known

    def find(self, kind: str, name: Name) -> Entry | None:
        """Return the object that has the name now."""
        return self.entries.get(self._by_name.get((kind, name), ""))

    def known(self, uids: Iterable[str]) -> list[Entry]:
        """Return those of these objects that are still there."""
        return [self.entries[uid] for uid in uids if uid in self.entries]

    def connections(self) -> list[Entry]:
        """Return all MilvusConnections."""
        return [self.entries[uid] for (kind, _), uid in self._by_name.items() if kind == CONNECTION]

    def connection_name(self, entry: Entry) -> Name | None:
        """Return which MilvusConnection a claiming resource means; None without one and without a default."""
        if entry.claimant is None:
            return None
        ref = entry.claimant.connection_ref
        return (ref.namespace or entry.name[0], ref.name) if ref else self._default_connection

    def naming(self, connection: Name) -> list[Entry]:
        """Return the resources that name a MilvusConnection, wherever they are."""
        return [entry for kind in Kind for entry in self.of_kind(connection, kind)]

    def claimants(self, connection: Name) -> Iterator[Entry]:
        """Yield the resources that a MilvusConnection serves."""
        tenancy = self.tenancy(connection)
        for entry in self.naming(connection):
            if tenancy.serves(entry) if tenancy else entry.name[0] == connection[0]:
                yield entry

    def counts(self, connection: Name) -> Counter[str]:
        """Return how many resources of each kind a MilvusConnection serves."""
        tenancy, found = self.tenancy(connection), Counter[str]()
        if tenancy is None:
            return found
        foreign = set()
        for (namespace, kind), count in self._counts[connection].items():
            if tenancy.serves_namespace(namespace):
                found[kind] += count
            else:
                foreign.add(namespace)
        if foreign:
            found.update(one.kind for one in self.claimants(connection) if one.name[0] in foreign)
        return found

    def claiming(self, connection: Name, kind: str, name: str) -> list[Entry]:
        """Return the resources that claim a name in Milvus through a connection."""
        return self.known(self._by_claim.get((connection, kind, name), ()))

    def of_kind(self, connection: Name, kind: str) -> list[Entry]:
        """Return the resources of a kind that name a connection."""
        return [self.entries[uid] for uid in self._by_kind.get((connection, kind), ())]

    def rivals(self, entry: Entry) -> list[Entry]:
        """Return the other resources that claim the same name through the same connection."""
        connection = self.connection_name(entry)
        if connection is None:
            return []
        return [
            one for one in self.claiming(connection, entry.kind, entry.claimed_name) if one.uid != entry.uid
        ]

    def uri(self, entry: Entry) -> str:
        """Return where a MilvusConnection leads; empty while that is not known."""
        spec = entry.connection
        if spec is None or spec.uri is not None:
            return spec.uri or "" if spec else ""
        last = (entry.status.get("server") or {}).get("endpoint")
        return self.addresses.get(entry.uid) or (f"{spec.scheme}://{last}" if last else "")

    def tenancy(self, connection: Name) -> Tenancy | None:
        """Return whom a MilvusConnection serves; None when it is not there."""
        entry = self.find(CONNECTION, connection)
        return Tenancy(entry, self.labels) if entry else None

    def secret(self, name: Name) -> SecretVersion | None:
        """Return the newest version that was seen of a Secret."""
        return self._secrets.get(name)

    def made_secrets(self, entry: Entry) -> set[Name]:
        """Return the Secrets that the operator made for a MilvusUser, or for an earlier one with the same user."""
        released = Mark("", entry.claimed_name, "/".join(self.connection_name(entry) or ()))
        owned = self._by_mark.get((entry.uid,), ())
        return {*owned, *self._by_mark.get(_mark_key(entry.name, released), ())}

    def is_named(self, secret: Name) -> bool:
        """Return whether the spec of any resource names a Secret."""
        return secret in self._by_secret

    def secret_names(self) -> Iterable[Name]:
        """Return the Secrets that are there."""
        return tuple(self._secrets)

    # --- the indexes

    def _standing(self, entry: Entry) -> Standing:
        ready = entry.ready
        reason = ready.reason if ready else "Unknown"
        if entry.kind == CONNECTION:
            spec = entry.connection
            interval = spec.interval_length.total_seconds() if spec else None
            return Standing("/".join(entry.name), is_connection=True, reason=reason, interval=interval)
        connection = "/".join(self.connection_name(entry) or ())
        return Standing(connection, is_connection=False, reason=reason)

    def _uncount(self, entry: Entry) -> None:
        standing = self._standing(entry)
        self.standings[standing] -= 1
        if not self.standings[standing]:
            del self.standings[standing]

    def _note(self, change: CacheChange) -> None:
        self.changes.append(change)
        self.changed.set()

    def _link(self, entry: Entry, known: Entry | None) -> None:
        self.entries[entry.uid] = entry
        if known is not None and known.generation == entry.generation:
            return  # nothing that an index is made of has changed
        if known is not None:
            self._unlink(known)
        namesake = self.find(entry.kind, entry.name)
        if namesake is None or namesake.resource_version <= entry.resource_version:
            self._by_name[entry.kind, entry.name] = entry.uid
        for secret in entry.secrets:
            self._by_secret[secret].add(entry.uid)
        if (connection := self.connection_name(entry)) is not None:
            self._by_kind[connection, entry.kind][entry.uid] = None
            self._by_claim[connection, entry.kind, entry.claimed_name].add(entry.uid)
            self._counts[connection][entry.name[0], entry.kind] += 1

    def _unlink(self, entry: Entry) -> None:
        if self._by_name.get((entry.kind, entry.name)) == entry.uid:
            del self._by_name[entry.kind, entry.name]
        for secret in entry.secrets:
            _discard(self._by_secret, secret, entry.uid)
        if (connection := self.connection_name(entry)) is None:
            return
        self._by_kind[connection, entry.kind].pop(entry.uid, None)
        if not self._by_kind[connection, entry.kind]:
            del self._by_kind[connection, entry.kind]
        _discard(self._by_claim, (connection, entry.kind, entry.claimed_name), entry.uid)
        counts = self._counts[connection]
        counts[entry.name[0], entry.kind] -= 1
        if not counts[entry.name[0], entry.kind]:
            del counts[entry.name[0], entry.kind]
        if not counts:
            del self._counts[connection]


def _mark_key(name: Name, mark: Mark) -> tuple[str, ...]:
    """Return under what a Secret is found: its MilvusUser, or the namespace, user and connection that it was made for."""
    return (mark.owner,) if mark.owner else (name[0], mark.user, mark.connection)


def _discard(index: dict[_Key, set[_Value]], key: _Key, uid: _Value) -> None:
    """Take a value out of an index, and its key with the last one."""
    index[key].discard(uid)
    if not index[key]:
        del index[key]
