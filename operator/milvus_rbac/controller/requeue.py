"""Which claims are reconciled again because of what a turn did: between two intervals nothing else would wake them."""

from collections.abc import Iterator

from milvus_rbac.controller.cache import Cache
from milvus_rbac.controller.claims import Site
from milvus_rbac.controller.entry import Entry
from milvus_rbac.controller.memory import Memory, Wait
from milvus_rbac.controller.reconcile import Result
from milvus_rbac.domain import privileges
from milvus_rbac.domain.changes import (
    AddPrivileges,
    Change,
    CreateRole,
    DropRole,
    DropUser,
    ReplacePrivileges,
    RevokePrivilege,
)
from milvus_rbac.domain.claims import Claim, Kind, WantedRole, WantedUser
from milvus_rbac.domain.conditions import Reason
from milvus_rbac.domain.plan import ClaimPlan


def wake_and_wait(memory: Memory, cache: Cache, result: Result, site: Site) -> frozenset[str]:
    """Return the claims (uids) for which a turn did something, and remember which claims wait now, and for what."""
    return frozenset(
        {
            *_roles(memory, cache, result, site),
            *_owners(memory, result),
            *_groups(memory, result),
            *_limits(memory, result),
        }
    )


def _roles(memory: Memory, cache: Cache, result: Result, site: Site) -> Iterator[str]:
    gone = {change.role for change in _done(result) if isinstance(change, DropRole)}
    made = {change.role for change in _done(result) if isinstance(change, CreateRole)}
    there = (result.observed.roles.keys() | made) - gone
    yield from _wake(memory, "role", there)
    for plan, wanted in _users(result):
        for role in wanted.roles - there:
            memory.wait(plan.claim.ref.uid, Wait("role", role))
    if gone:
        users = cache.of_kind(site.connection, Kind.USER)
        yield from (entry.uid for entry in users if gone & _roles_of(entry))


def _owners(memory: Memory, result: Result) -> Iterator[str]:
    for plan, wanted in _users(result):
        if plan.claim.permit is not None:
            for role in wanted.roles - plan.claim.permit.roles:
                memory.wait(plan.claim.ref.uid, Wait("owner", role))
    owned = {
        plan.claim.object_name
        for plan in result.plans
        if isinstance(plan.claim.wanted, WantedRole)
        if plan.origin is not None and plan.claim.origin is None
    }
    yield from _wake(memory, "owner", owned)


def _groups(memory: Memory, result: Result) -> Iterator[str]:
    filled = {
        change.group for change in _done(result) if isinstance(change, AddPrivileges | ReplacePrivileges)
    }
    there = filled | {group for group, held in result.observed.groups.items() if held}
    yield from _wake(memory, "group", there)
    if any(isinstance(change, RevokePrivilege | DropRole) for change in _done(result)):
        yield from memory.wake(Wait("holders"))  # perhaps no role holds it any more
    for plan in result.plans:
        for group in _groups_of(plan.claim) - there:
            memory.wait(plan.claim.ref.uid, Wait("group", group))
        if any(refusal.reason is Reason.IN_USE for refusal in plan.refusals):
            memory.wait(plan.claim.ref.uid, Wait("holders"))


def _limits(memory: Memory, result: Result) -> Iterator[str]:
    for uid, failures in result.outcome.failed.items():
        if any(error.refusal.reason is Reason.LIMIT_REACHED for _, error in failures):
            memory.wait(uid, Wait("limit"))
    for plan in result.plans:
        if any(refusal.reason is Reason.LIMIT_REACHED for refusal in plan.refusals):
            memory.wait(plan.claim.ref.uid, Wait("limit"))
    if any(isinstance(change, DropUser | DropRole) for change in _done(result)):
        yield from memory.wake(Wait("limit"))


def _wake(memory: Memory, what: str, there: set[str]) -> Iterator[str]:
    for wait in memory.awaited(what):
        if wait.name in there:
            yield from memory.wake(wait)


def _users(result: Result) -> Iterator[tuple[ClaimPlan, WantedUser]]:
    for plan in result.plans:
        if isinstance(plan.claim.wanted, WantedUser) and not plan.claim.deleting:
            yield plan, plan.claim.wanted


def _groups_of(claim: Claim) -> set[str]:
    """Return what may be privilege groups among what a claim grants."""
    if not isinstance(claim.wanted, WantedRole) or claim.deleting:
        return set()
    names = {name for row in claim.wanted.rows for name in row.privileges}
    return {name for name in names if privileges.find(name) is None}


def _roles_of(entry: Entry) -> set[str]:
    return set(entry.status.get("roles") or ())


def _done(result: Result) -> Iterator[Change]:
    return (change for changes in result.outcome.done.values() for change in changes)
