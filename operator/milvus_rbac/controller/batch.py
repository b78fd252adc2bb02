"""Collect what one turn needs: the claims with their owners, their Secrets' texts, what is agreed with the connection's owner."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from milvus_rbac.api.v1alpha1.milvusconnection import MilvusConnectionSpec, Mode
from milvus_rbac.controller import passwords
from milvus_rbac.controller.background import Background, Slots
from milvus_rbac.controller.cache import Cache
from milvus_rbac.controller.claims import Site, claims_of, granted_databases, with_rivals
from milvus_rbac.controller.connection import Link
from milvus_rbac.controller.entry import Entry
from milvus_rbac.controller.made_secrets import MadeSecrets
from milvus_rbac.controller.memory import ClaimMemory, Memory, Reading
from milvus_rbac.controller.workqueue import Item, Urgency
from milvus_rbac.domain.claims import Claim, Kind, SecretVersion, WantedUser
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.desired import ServerFacts
from milvus_rbac.domain.ownership import assemble, owners
from milvus_rbac.domain.scopes import KnownPrivileges
from milvus_rbac.kube.client import ClusterError
from milvus_rbac.milvus.port import Password, PasswordTexts

MOST_LOOKUPS: Final = 100
"""Of so many grants it is asked in one turn, at least of one role, whether Milvus has what they name: a tenth of a second of work."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The claims of one turn with everything that was read for them."""

    assembled: tuple[tuple[Claim, Refusal | None], ...]
    """Each with the reason for which it does not own its name."""
    entries: Mapping[str, Entry]
    """The resources as they were when the turn began, by uid."""
    readings: Mapping[str, Reading] = field(default_factory=dict)
    """By claim uid, for the users that own their name."""
    texts: PasswordTexts = field(default_factory=PasswordTexts)
    databases: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By claim uid: where a role's grants are known to be."""
    role_owners: Mapping[str, Claim] = field(default_factory=dict)
    """By role, the claim that owns it, in this turn or not; of the roles for which that matters."""
    claimed_groups: Mapping[str, str] = field(default_factory=dict)
    """The privilege groups that resources of this connection ask for, by the names of the resources."""
    to_look_up: frozenset[str] = frozenset()
    """Roles (uids) of which it is asked in this turn whether Milvus has what they name."""


@dataclass(frozen=True, slots=True)
class Collector:
    """Collects the batches of one connection."""

    cache: Cache
    memory: Memory
    secrets: MadeSecrets
    background: Background
    slots: Slots

    async def collect(self, chosen: Sequence[Entry], site: Site, mode: Mode) -> Batch:
        """Return the batch for these resources.

        A claim whose Secret is not read in time is left out: it comes again when it is.
        """
        # A chosen resource is taken as it was when it was chosen: what has become of it since is for the next turn.
        entries = {entry.uid: entry for entry in chosen}
        claims = claims_of(self.cache, site, with_rivals(self.cache, site, chosen))
        await asyncio.sleep(0)  # for some hundred claims this much is enough at a time
        assembled = assemble(claims, entries.keys())
        needing = [claim for claim, refusal in assembled if refusal is None and _needs_secret(claim)]
        readings = await self._read(needing, entries, mode)
        missing = {claim.ref.uid for claim in needing} - readings.keys()
        assembled = tuple(one for one in assembled if one[0].ref.uid not in missing)
        wanted: dict[str, Password] = {}
        old: dict[str, Password] = {}
        for claim in needing:
            if (reading := readings.get(claim.ref.uid)) is None:
                continue
            if reading.password is not None:
                wanted[claim.object_name] = reading.password
            if (text := self.memory.of(claim.ref.uid).old_password(reading)) is not None:
                old[claim.object_name] = text
        return Batch(
            tuple((self._with_reading(claim, entries, readings), refusal) for claim, refusal in assembled),
            {uid: entry for uid, entry in entries.items() if uid not in missing},
            readings,
            PasswordTexts(wanted, old),
            {uid: granted_databases(entry) for uid, entry in entries.items()},
            self._role_owners(site, claims, [claim for claim, _ in assembled]),
            self._claimed_groups(site),
            self._to_look_up(entries.values()),
        )

    async def _read(
        self, needing: Sequence[Claim], entries: Mapping[str, Entry], mode: Mode
    ) -> dict[str, Reading]:
        work = {
            claim.ref.uid: (item_of(entries[claim.ref.uid]), self._read_one(claim, entries, mode))
            for claim in needing
        }
        results = await self.background.gather(work)
        readings: dict[str, Reading] = {}
        for uid, result in results.items():
            if isinstance(result, Exception):
                raise result
            readings[uid] = result
        return readings

    async def _read_one(self, claim: Claim, entries: Mapping[str, Entry], mode: Mode) -> Reading:
        entry, record = entries[claim.ref.uid], self.memory.of(claim.ref.uid)
        assert entry.user is not None  # noqa: S101 - tells mypy what _needs_secret established
        namespace = entry.name[0]
        newest = self.cache.secret((namespace, entry.user.password_source.name))
        async with self.slots.of(namespace):
            # Nothing is generated while the connection only observes.
            if mode is Mode.ENFORCE and not (claim.suspended or claim.deleting):
                refusal = await self.secrets.generate(entry, record)
                if refusal is not None:
                    return Reading(refusal=refusal)
            return await self._with_former(entry, record, newest)

    async def _with_former(self, entry: Entry, record: ClaimMemory, newest: SecretVersion | None) -> Reading:
        """Read a user's Secret; until its password is in force, what it replaces may be in a Secret that is not named any more."""
        reading = await passwords.read(self.secrets.cluster, entry, record, newest)
        if reading.password is None or reading.previous is not None or reading.version == entry.password:
            return reading
        try:
            former = await self.secrets.former_password(entry)
        except ClusterError as error:
            return Reading(refusal=Refusal(Reason.WAITING_FOR_SECRET, error.message))
        return replace(reading, previous=former)

    def _with_reading(
        self, claim: Claim, entries: Mapping[str, Entry], readings: Mapping[str, Reading]
    ) -> Claim:
        reading = readings.get(claim.ref.uid)
        if reading is None or not isinstance(claim.wanted, WantedUser):
            return claim
        entry = entries[claim.ref.uid]
        same_text = self.memory.of(claim.ref.uid).is_in_force(reading)
        rotated = is_rotated(entry, reading) and not same_text
        wanted = replace(
            claim.wanted,
            password=reading.version,
            rotated=rotated,
            is_generated=entry.user is not None and entry.user.generate_password is not None,
            known_digest=known_digest(entry, reading, same_text=same_text),
            password_refusal=reading.refusal or (reading.previous_refusal if rotated else None),
        )
        return replace(claim, wanted=wanted)

    def _role_owners(
        self, site: Site, claims: Sequence[Claim], asking: Sequence[Claim]
    ) -> Mapping[str, Claim]:
        """Return who owns the roles that users of other namespaces ask for, or all roles where a group may lose something."""
        if any(claim.ref.kind is Kind.GROUP for claim in asking):
            entries = self.cache.of_kind(site.connection, Kind.ROLE)
        else:
            users = [one for one in asking if isinstance(one.wanted, WantedUser) and one.permit is not None]
            names = {role for claim in users for role in self._roles_of(claim)}
            found = (self.cache.claiming(site.connection, Kind.ROLE, name) for name in names)
            entries = [entry for entries in found for entry in entries]
        known = {claim.ref.uid: claim for claim in claims}
        others = claims_of(self.cache, site, (entry for entry in entries if entry.uid not in known))
        return owners([*(known[one.uid] for one in entries if one.uid in known), *others], Kind.ROLE)

    def _to_look_up(self, entries: Iterable[Entry]) -> frozenset[str]:
        """Return the roles of which it is asked whether Milvus has what they name: a few, those that have waited longest.

        It is due once for each spec, and as long as something is missing.
        """
        due = [entry for entry in entries if entry.kind == Kind.ROLE and self._is_lookup_due(entry)]
        chosen: set[str] = set()
        room = MOST_LOOKUPS
        for entry in sorted(due, key=lambda one: self.memory.of(one.uid).looked_up_at):
            if room <= 0:
                break
            room -= entry.weight
            chosen.add(entry.uid)
            self.memory.of(entry.uid).looked_up_at = time.monotonic()
        return frozenset(chosen)

    def _is_lookup_due(self, entry: Entry) -> bool:
        return self.memory.of(entry.uid).looked_up != entry.generation or "notFound" in entry.status

    def _roles_of(self, claim: Claim) -> set[str]:
        """Return the roles that a user asks for, and those that it had when its status was written."""
        wanted = claim.wanted.roles if isinstance(claim.wanted, WantedUser) else frozenset[str]()
        entry = self.cache.entries.get(claim.ref.uid)
        return {*wanted, *((entry.status.get("roles") or ()) if entry else ())}

    def _claimed_groups(self, site: Site) -> Mapping[str, str]:
        entries = self.cache.of_kind(site.connection, Kind.GROUP)
        claims = claims_of(self.cache, site, entries)
        return {claim.ref.name: claim.object_name for claim in claims if claim.is_permitted}


def server_facts(
    spec: MilvusConnectionSpec, link: Link, batch: Batch, *, superuser: bool | None
) -> ServerFacts:
    """Return what decisions need to know about the server."""
    found = link.capabilities
    return ServerFacts(
        observe_only=spec.mode is Mode.OBSERVE,
        authorization=found.authorization,
        password_update=spec.password_update,
        superuser=superuser,
        known_old=frozenset(batch.texts.old),
        known_privileges=KnownPrivileges(
            privilege_groups=found.privilege_groups,
            levels=found.levels,
            wildcard_breaks=found.wildcard_breaks,
            claimed=frozenset(batch.claimed_groups.values()),
            meant_groups=batch.claimed_groups,
        ),
        cloud=found.cloud,
        companions=found.companions,
        databases_are_boundaries=found.databases_are_boundaries,
        resolves_aliases=found.resolves_aliases,
    )


def item_of(entry: Entry, *, is_suspect: bool = False) -> Item:
    """Return a resource as the workqueue orders it."""
    return Item(
        entry.uid, entry.name[0], urgency_of(entry), entry.weight, is_apart=is_suspect or entry.is_heavy
    )


def urgency_of(entry: Entry) -> Urgency:
    """Return how soon a resource is reconciled within its namespace, whatever its Secret."""
    if entry.deleting:
        return Urgency.DELETION
    return Urgency.REST if entry.has_claim else Urgency.NEW


def is_rotated(entry: Entry, reading: Reading) -> bool:
    """Return whether another version of the Secret, or another key, is asked for than the status says is in force."""
    known = entry.password
    return known is not None and reading.version is not None and known != reading.version


def known_digest(entry: Entry, reading: Reading, *, same_text: bool) -> str:
    """Return the digest of the server's hash under which the Secret's password was last seen in force, or "".

    `same_text` means that the Secret's text is the one that was, whatever its version.
    """
    known = entry.status.get("password")
    if not known or not (same_text or reading.version == entry.password):
        return ""
    return str(known.get("hashDigest") or "")


def _needs_secret(claim: Claim) -> bool:
    """Return whether a claim's Secret is read: not of a user that is dropped as ours, but of one that must be proven ours."""
    if claim.ref.kind is not Kind.USER or (claim.expired and not claim.deleting):
        return False
    if claim.deleting:
        return not (claim.is_ours or claim.retain)
    return claim.is_permitted
