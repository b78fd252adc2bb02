"""Who waits for what in Milvus, and who is looked at again when it comes: between two intervals nobody else would look."""

from collections import defaultdict
from collections.abc import Iterator

from milvus_rbac.controller.batch import Site
from milvus_rbac.controller.dirty import Dirty
from milvus_rbac.controller.entry import Entry
from milvus_rbac.controller.round import Result
from milvus_rbac.controller.tools import Tools
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
from milvus_rbac.domain.claims import Claim, WantedRole, WantedUser
from milvus_rbac.domain.conditions import Reason
from milvus_rbac.domain.plan import ClaimPlan

Waiters = defaultdict[str, set[str]]
"""By name: the uids of the claims that wait for it."""


class Waiting:
    """Of one connection."""

    def __init__(self, tools: Tools, dirty: Dirty) -> None:
        self._tools = tools
        self._dirty = dirty
        self._for_role: Waiters = defaultdict(set)
        self._for_owner: Waiters = defaultdict(set)
        """By role: users of other namespaces, which may hold it once a resource of theirs owns it."""
        self._for_group: Waiters = defaultdict(set)
        self._for_holders: set[str] = set()
        """Groups that roles hold."""
        self._for_room: set[str] = set()
        """Whom a limit of the server kept out."""

    def arrange(self, result: Result, site: Site) -> None:
        """Look again at those for whom a round did something, and remember who waits now."""
        self._arrange_roles(result, site)
        self._arrange_owners(result)
        self._arrange_groups(result)
        self._arrange_room(result)

    def _arrange_roles(self, result: Result, site: Site) -> None:
        gone = {change.role for change in _done(result) if isinstance(change, DropRole)}
        made = {change.role for change in _done(result) if isinstance(change, CreateRole)}
        there = (result.observed.roles.keys() | made) - gone
        self._wake(self._for_role, there)
        for plan, wanted in _users(result):
            for role in wanted.roles - there:
                self._for_role[role].add(plan.claim.ref.uid)
        if gone:
            users = self._tools.store.claimants(site.connection)
            self._dirty.mark(entry.uid for entry in users if gone & _roles_of(entry))

    def _arrange_owners(self, result: Result) -> None:
        for plan, wanted in _users(result):
            if plan.claim.permit is not None:
                for role in wanted.roles - plan.claim.permit.roles:
                    self._for_owner[role].add(plan.claim.ref.uid)
        news = {
            plan.claim.object_name
            for plan in result.plans
            if isinstance(plan.claim.wanted, WantedRole)
            if plan.origin is not None and plan.claim.origin is None
        }
        self._wake(self._for_owner, news)

    def _arrange_groups(self, result: Result) -> None:
        filled = {
            change.group for change in _done(result) if isinstance(change, AddPrivileges | ReplacePrivileges)
        }
        there = filled | {group for group, held in result.observed.groups.items() if held}
        self._wake(self._for_group, there)
        if any(isinstance(change, RevokePrivilege | DropRole) for change in _done(result)):
            self._dirty.mark(self._for_holders)  # perhaps nobody holds it any more
            self._for_holders.clear()
        for plan in result.plans:
            for group in _groups_of(plan.claim) - there:
                self._for_group[group].add(plan.claim.ref.uid)
            if any(refusal.reason is Reason.IN_USE for refusal in plan.refusals):
                self._for_holders.add(plan.claim.ref.uid)

    def _arrange_room(self, result: Result) -> None:
        for uid, failures in result.outcome.failed.items():
            if any(error.refusal.reason is Reason.LIMIT_REACHED for _, error in failures):
                self._for_room.add(uid)
        if any(isinstance(change, DropUser | DropRole) for change in _done(result)):
            self._dirty.mark(self._for_room)
            self._for_room.clear()

    def _wake(self, waiters: Waiters, come: set[str]) -> None:
        for name in waiters.keys() & come:
            self._dirty.mark(waiters.pop(name))


def _users(result: Result) -> Iterator[tuple[ClaimPlan, WantedUser]]:
    for plan in result.plans:
        if isinstance(plan.claim.wanted, WantedUser) and not plan.claim.deleting:
            yield plan, plan.claim.wanted


def _groups_of(claim: Claim) -> set[str]:
    """Name what may be privilege groups among what a claim grants."""
    if not isinstance(claim.wanted, WantedRole) or claim.deleting:
        return set()
    names = {name for row in claim.wanted.rows for name in row.privileges}
    return {name for name in names if privileges.find(name) is None}


def _roles_of(entry: Entry) -> set[str]:
    return set(entry.status.get("roles") or ())


def _done(result: Result) -> Iterator[Change]:
    return (change for changes in result.outcome.done.values() for change in changes)
