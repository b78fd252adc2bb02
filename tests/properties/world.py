"""A Milvus, the resources that claim things in it, and the turns between them: all of the controller but its I/O.

What Kubernetes would keep (claims, intents) is kept here, and survives a crash of the operator the way it would there.
"""

import asyncio
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from milvus_rbac.controller.apply import Budget
from milvus_rbac.controller.batch import Batch
from milvus_rbac.controller.reconcile import Result, Turn, reconcile_once
from milvus_rbac.domain import privileges
from milvus_rbac.domain.claims import Claim, GrantRow, Kind, Ref, WantedRole, WantedUser
from milvus_rbac.domain.desired import ServerFacts
from milvus_rbac.domain.ownership import assemble
from milvus_rbac.domain.plan import ClaimPlan
from milvus_rbac.domain.record import grant_item, record_of
from milvus_rbac.domain.state import Grant
from milvus_rbac.milvus.port import Password, PasswordTexts
from support.fake_milvus import FakeMilvus, Outage

SERVER_FACTS = ServerFacts()
_LOOP = asyncio.Runner()


def claim(
    kind: Kind,
    name: str,
    wanted: WantedRole | WantedUser,
    *,
    uid: str = "",
    namespace: str = "ns",
    **fields: Any,
) -> Claim:
    """A claim whose resource has the name of what it claims; `fields` are the claim's others."""
    ref = Ref(kind, namespace, f"res-{name}", uid or f"{kind}-{name}")
    return replace(Claim(ref, name, wanted, "2026-01-01T00:00:00Z"), **fields)


def rows_for(grants: Collection[Grant]) -> tuple[GrantRow, ...]:
    """Rows that ask for exactly these grants."""
    return tuple(
        GrantRow(
            (grant.privilege,),
            grant.database if _takes_database(grant.privilege) else None,
            (grant.object_name,) if _takes_collections(grant.privilege) else (),
        )
        for grant in sorted(grants)
    )


def _takes_database(privilege: str) -> bool:
    row = privileges.find(privilege)
    return row is not None and row.level is not privileges.Level.CLUSTER


def _takes_collections(privilege: str) -> bool:
    row = privileges.find(privilege)
    return row is not None and row.level is privileges.Level.COLLECTION


@dataclass(slots=True)
class World:
    """One server and everything that is claimed on it."""

    milvus: FakeMilvus
    claims: dict[str, Claim]
    """By uid. What Kubernetes keeps of ownership is in them: origin (a status) and intended (of the connection)."""
    passwords: Mapping[str, Password] = field(default_factory=dict)
    """What the Secrets hold, by user name."""
    old: Mapping[str, Password] = field(default_factory=dict)
    """What is remembered to have been in force."""
    server: ServerFacts = SERVER_FACTS
    released: dict[str, bool] = field(default_factory=dict)
    """Deletions that were concluded: whether the object was left behind."""

    def turn(self, *, status_lost: bool = False) -> Result:
        """Run one turn for everything; with `status_lost` the operator dies before it writes any status."""
        assembled = assemble(self.claims.values(), self.claims.keys())
        batch = Batch(assembled, {}, texts=PasswordTexts(self.passwords, self.old))
        turn = Turn(batch, self.server, budget=Budget(alone=60.0))
        result = _LOOP.run(reconcile_once(turn, self.milvus, self, lambda: None))
        if not status_lost:
            for plan in result.plans:
                if result.outcome.is_complete(plan) or result.outcome.trouble is None:
                    self._conclude(plan, result)
        return result

    def interrupted_turn(self, after: int, *, answer_lost: bool, status_lost: bool) -> Result:
        """Run a turn whose connection breaks after some writes, then bring Milvus back."""
        self.milvus.writes, self.milvus.outage = 0, Outage(after, answer_lost)
        result = self.turn(status_lost=status_lost)
        self.milvus.outage = None
        return result

    def delete(self, uids: Collection[str]) -> None:
        """Delete resources; those without a finalizer go at once."""
        for uid in uids:
            one = self.claims[uid]
            if one.is_ours:
                self.claims[uid] = replace(one, deleting=True)
            else:
                del self.claims[uid]

    async def prepare(self, plans: Sequence[ClaimPlan]) -> frozenset[str]:
        """Write the intents: controller/ownership.py."""
        for plan in plans:
            if plan.creates and not plan.claim.deleting and plan.claim.origin is None:
                self._change(plan, lambda old: replace(old, intended=True))
        return frozenset(plan.claim.ref.uid for plan in plans)

    def _conclude(self, plan: ClaimPlan, result: Result) -> None:
        """Write the status, or remove the finalizer: controller/turn.py."""
        if plan.claim.deleting:
            if result.outcome.is_complete(plan):
                del self.claims[plan.claim.ref.uid]
                self.released[plan.claim.ref.uid] = plan.left_behind
            return
        held = self.milvus.users if plan.claim.ref.kind is Kind.USER else self.milvus.roles
        origin = plan.origin if plan.claim.object_name in held else None
        # Once there is a claim the intent is void; a refused create withdraws it.
        record = None if origin is None else record_of(self._holdings(plan.claim))
        self._change(plan, lambda old: replace(old, origin=origin, intended=False, record=record))

    def _holdings(self, one: Claim) -> Iterable[Hashable]:
        if one.ref.kind is Kind.USER:
            return sorted(self.milvus.users[one.object_name].roles)
        return map(grant_item, sorted(self.milvus.roles[one.object_name]))

    def _change(self, plan: ClaimPlan, change: Callable[[Claim], Claim]) -> None:
        self.claims[plan.claim.ref.uid] = change(self.claims[plan.claim.ref.uid])


def by_uid(claims: Collection[Claim]) -> dict[str, Claim]:
    """Key claims the way the cache does."""
    return {one.ref.uid: one for one in claims}
