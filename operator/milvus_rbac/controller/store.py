"""What Kubernetes holds, as last seen: our resources and the versions of Secrets, with the ways to find them again.

It knows nothing of Milvus and decides nothing; it only says which resources a change concerns.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from milvus_rbac.api.v1alpha1 import MilvusConnection
from milvus_rbac.controller.entry import Entry, Name, read_entry
from milvus_rbac.controller.tenancy import Labels, Tenancy
from milvus_rbac.domain.claims import SecretVersion

MOST_REMOVED = 10_000
"""How many objects that are gone are remembered, against late words of them."""
Claimed = tuple[Name, str, str]
"""Connection, kind and name in Milvus."""


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
        self._by_claim: defaultdict[Claimed, set[str]] = defaultdict(set)
        self._secrets: dict[Name, SecretVersion] = {}
        self.uris: dict[str, str] = {}
        """By the uid of a MilvusConnection: where the Milvus is that its milvusRef names, as last looked up."""
        self.labels: Labels = {}
        """Of the namespaces, as last read; empty while no connection needs them."""
        self.labels_unreadable = False
        """A connection needs them, and the operator may not read them."""

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
            self._by_claim[connection, entry.kind, entry.claimed_name or ""].add(entry.uid)
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
        self.uris.pop(uid, None)
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
        """List the resources that a MilvusConnection serves."""
        named = (self.entries[uid] for uid in self._by_connection.get(connection, ()))
        tenancy = self.tenancy(connection)
        return [
            entry for entry in named if (tenancy.serves(entry) if tenancy else entry.name[0] == connection[0])
        ]

    def uri(self, entry: Entry) -> str:
        """Say where a MilvusConnection leads; empty while nobody knows."""
        spec = entry.connection.spec if entry.connection else None
        if spec is None or spec.uri is not None:
            return spec.uri or "" if spec else ""
        last = (entry.status.get("server") or {}).get("endpoint")
        return self.uris.get(entry.uid) or (f"{spec.scheme}://{last}" if last else "")

    def tenancy(self, connection: Name) -> Tenancy | None:
        """Say whom a MilvusConnection serves; None when it is not there."""
        entry = self.find(MilvusConnection.__name__, connection)
        return Tenancy(entry, self.labels) if entry else None

    def rivals(self, entry: Entry) -> list[Entry]:
        """List the other resources that claim the same name through the same connection."""
        connection = self.connection_name(entry)
        if connection is None:
            return []
        uids = self._by_claim.get((connection, entry.kind, entry.claimed_name or ""), set()) - {entry.uid}
        return self.known(uids)

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
            claimed = connection, entry.kind, entry.claimed_name or ""
            self._by_claim[claimed].discard(entry.uid)
            if not self._by_claim[claimed]:
                del self._by_claim[claimed]


def _is_older(entry: Entry, known: Entry) -> bool:
    """Tell whether an event was overtaken by what a PATCH of ours answered. Versions of one object are comparable."""
    return int(entry.metadata["resourceVersion"]) < int(known.metadata["resourceVersion"])
