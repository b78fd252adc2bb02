"""Gather what one round needs: which claims, their Secrets' texts, what is agreed with the connection's owner."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from milvus_rbac.api.v1alpha1 import MilvusConnection, MilvusUser
from milvus_rbac.api.v1alpha1.milvusconnection import Mode
from milvus_rbac.controller.claiming import claim_of, granted_databases, known_digest, rotated
from milvus_rbac.controller.connecting import Link
from milvus_rbac.controller.endpoint import endpoint
from milvus_rbac.controller.entry import Entry, Name, intents_of
from milvus_rbac.controller.own_secrets import OwnSecrets
from milvus_rbac.controller.store import Store
from milvus_rbac.controller.together import together
from milvus_rbac.controller.vault import Reading, Vault
from milvus_rbac.domain.claims import Claim, Kind, WantedUser
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.desired import ServerFacts
from milvus_rbac.domain.ownership import assemble, owners
from milvus_rbac.domain.scopes import KnownPrivileges
from milvus_rbac.kube.client import ClusterRefused
from milvus_rbac.milvus.port import Address, Password, PasswordTexts

READ_WIDTH = 16


@dataclass(frozen=True, slots=True)
class Batch:
    """The claims of one round with everything that was read for them."""

    assembled: tuple[tuple[Claim, Refusal | None], ...]
    readings: Mapping[str, Reading]
    """By claim uid, for the users that own their name."""
    password_texts: PasswordTexts
    databases: Mapping[str, frozenset[str]]
    entries: Mapping[str, Entry]
    """The resources as they were when the round began."""
    role_owners: Mapping[str, Claim]
    """Of all claims, dirty or not: by role, the claim that owns it. Empty in a round where nobody asks."""
    claimed_groups: frozenset[str]
    """Of all claims: the privilege groups that resources ask for."""


@dataclass(frozen=True, slots=True)
class Site:
    """One server as claims see it."""

    connection: Name
    connection_uid: str
    endpoint: str
    endpoints: Collection[str]
    """Its identity and its former ones."""
    operator_account: str
    address: Address
    intents: Collection[str]


def site_of(entry: Entry, connection: MilvusConnection, link: Link, withdrawn: Collection[str]) -> Site:
    """Say how claims see the server of a connection; `withdrawn` are the uids whose intents mean nothing any more."""
    uris = (link.address.uri, *connection.spec.former_uris)
    own, *former = (endpoint(uri, entry.name[0]) for uri in uris)
    endpoints = {own, *former}
    written = intents_of(entry.status)
    intents = {
        uid for uid, one in written.items() if one.get("endpoint") in endpoints and uid not in withdrawn
    }
    return Site(entry.name, entry.uid, own, endpoints, link.username, link.address, intents)


def worth_looking_at(store: Store, connection: Entry | None, uids: Collection[str]) -> list[Entry]:
    """Give those of the resources that a round can do something for, while their connection is as it is."""
    tenancy = store.tenancy(connection.name) if connection is not None else None
    if connection is None or tenancy is None:
        return []
    served = [one for one in store.known(uids) if tenancy.serves(one)]
    # What is being deleted without our finalizer was never ours; a connection that goes begins nothing new.
    return [one for one in served if (one.has_finalizer if one.deleting else not connection.deleting)]


async def gather_batch(
    chosen: Sequence[Entry],
    claimants: Sequence[Entry],
    site: Site,
    store: Store,
    vault: Vault,
    own_secrets: OwnSecrets | None,
) -> Batch:
    """Assemble the chosen claims among all claimants, then read the Secrets of those that own their name.

    Passwords are generated where `own_secrets` is given: not while a connection only observes.
    """
    # A chosen one is taken as it was when it was chosen: what has become of it since is for the next round.
    entries = {entry.uid: entry for entry in chosen}
    now = datetime.now(UTC)
    seen = [entries.get(entry.uid, entry) for entry in claimants]
    tenancy = store.tenancy(site.connection)
    claims = [
        claim_of(entry, site.endpoints, site.operator_account, site.intents, now, tenancy) for entry in seen
    ]
    assembled = assemble(claims, entries.keys())
    reading_for = [claim for claim, refusal in assembled if refusal is None and _needs_secret(claim)]
    reader = _Reader(store, vault, own_secrets)
    readings = await reader.read_all([(claim, entries[claim.ref.uid]) for claim in reading_for])
    wanted: dict[str, Password] = {}
    old: dict[str, Password] = {}
    for claim in reading_for:
        reading = readings[claim.ref.uid]
        if reading.password is not None:
            wanted[claim.object_name] = reading.password
        if (text := vault.old(claim.ref.uid, reading)) is not None:
            old[claim.object_name] = text
    return Batch(
        tuple((_with_reading(claim, entries, readings, vault), refusal) for claim, refusal in assembled),
        readings,
        PasswordTexts(wanted, old),
        {uid: granted_databases(entry) for uid, entry in entries.items()},
        entries,
        # Grouping all claims by name once more is only worth it where a group may lose something, or users be limited.
        owners(claims, Kind.ROLE) if any(_asks_for_owners(claim) for claim, _ in assembled) else {},
        frozenset(
            claim.object_name for claim in claims if claim.ref.kind is Kind.GROUP and claim.is_permitted
        ),
    )


def terms_of(connection: MilvusConnection, link: Link, batch: Batch, superuser: bool | None) -> ServerFacts:
    """Say what decisions need to know about the server."""
    return ServerFacts(
        observe_only=connection.spec.mode is Mode.OBSERVE,
        authorization=link.capabilities.authorization,
        password_update=connection.spec.password_update,
        superuser=superuser,
        known_old=frozenset(batch.password_texts.old),
        known_privileges=KnownPrivileges(
            privilege_groups=link.capabilities.privilege_groups,
            levels=link.capabilities.levels,
            wildcard_breaks=link.capabilities.wildcard_breaks,
            claimed=batch.claimed_groups,
        ),
        cloud=link.capabilities.cloud,
        companions=link.capabilities.companions,
        databases_are_boundaries=link.capabilities.databases_are_boundaries,
    )


def _needs_secret(claim: Claim) -> bool:
    """A user that is dropped as ours needs no password; one that must be proven to be ours does."""
    if claim.ref.kind is not Kind.USER or (claim.expired and not claim.deleting):
        return False
    if claim.deleting:
        return not (claim.is_ours or claim.retain) and claim.may_adopt
    return claim.is_permitted


def _asks_for_owners(claim: Claim) -> bool:
    return claim.ref.kind is Kind.GROUP or (claim.ref.kind is Kind.USER and claim.permit is not None)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the passwords of a round, a few at a time."""

    store: Store
    vault: Vault
    own_secrets: OwnSecrets | None

    async def read_all(self, owners: Sequence[tuple[Claim, Entry]]) -> dict[str, Reading]:
        slots = asyncio.Semaphore(READ_WIDTH)

        async def read(claim: Claim, entry: Entry) -> tuple[str, Reading]:
            async with slots:
                return entry.uid, await self._read(claim, entry)

        return dict(await together(read(*owner) for owner in owners))

    async def _read(self, claim: Claim, entry: Entry) -> Reading:
        assert isinstance(entry.model, MilvusUser)  # noqa: S101 - tells mypy what _needs_secret established
        ref, namespace = entry.model.spec.password_source, entry.name[0]
        newest = self.store.secret((namespace, ref.name))
        if self.own_secrets is not None and not (claim.suspended or claim.deleting):
            try:
                refusal = await self.own_secrets.generate(entry, newest)
            except ClusterRefused as refused:
                message = f"Secret {namespace}/{ref.name} can't be written by the operator: {refused.message}"
                refusal = Refusal(Reason.WAITING_FOR_SECRET, message)
            if refusal is not None:
                return Reading(refusal=refusal)
        return await self.vault.read(entry.uid, namespace, ref, newest)


def _with_reading(
    claim: Claim, entries: Mapping[str, Entry], readings: Mapping[str, Reading], vault: Vault
) -> Claim:
    reading = readings.get(claim.ref.uid)
    if reading is None or not isinstance(claim.wanted, WantedUser):
        return claim
    entry, same_text = entries[claim.ref.uid], vault.is_in_force(claim.ref.uid, reading)
    wanted = replace(
        claim.wanted,
        password=reading.version,
        rotated=rotated(entry, reading) and not same_text,
        known_digest=known_digest(entry, reading, same_text=same_text),
        password_refusal=reading.refusal,
    )
    return replace(claim, wanted=wanted)
