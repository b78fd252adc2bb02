"""What is true of each resource after a turn, as its status. Pure: it neither reads nor writes anything."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from milvus_rbac.controller.apply import Outcome
from milvus_rbac.controller.entry import Entry
from milvus_rbac.controller.events import Event, events_of_changes, events_of_transition, repairs_of
from milvus_rbac.controller.reconcile import Result
from milvus_rbac.domain.changes import (
    Change,
    ClearProxies,
    CreateRole,
    GrantPrivilege,
    RecreateUser,
    UpdatePassword,
    apply_all,
    describe,
    field_of,
)
from milvus_rbac.domain.claims import Claim, Kind, StaleGrant, WantedRole, WantedUser
from milvus_rbac.domain.conditions import (
    Condition,
    Patience,
    Reason,
    Refusal,
    patience,
    summarize_drift,
    summarize_password,
    summarize_ready,
)
from milvus_rbac.domain.desired import ServerFacts
from milvus_rbac.domain.guard import EXPIRED
from milvus_rbac.domain.mistakes import find_mistake, kept_until_mended
from milvus_rbac.domain.plan import ClaimPlan
from milvus_rbac.domain.state import ANY, DEFAULT_DATABASE, PasswordVerdict, Place, Role, State, User
from milvus_rbac.domain.text import listed, printable
from milvus_rbac.milvus.errors import (
    AlreadyExists,
    Changed,
    InternalError,
    MilvusRbacError,
    OldPasswordRefused,
)

MOST_PLAN_LINES = 500
MOST_GRANTS = 1000


@dataclass(frozen=True, slots=True)
class Report:
    """What is true of one resource."""

    status: dict[str, Any]
    """Everything but the conditions."""
    conditions: tuple[Condition, ...]
    transitions: tuple[Event, ...] = ()
    """The Events about Ready, recorded when the status is written."""
    changes: tuple[Event, ...] = ()
    """The Events about changes in Milvus that no change of the resource asked for, recorded in any case."""
    refusals: tuple[Refusal, ...] = ()
    repairs: int = 0
    """How many changes put back what other clients had changed."""

    @property
    def only_waits(self) -> bool:
        """Whether all that keeps the resource from being Ready may heal by itself in a moment."""
        return bool(self.refusals) and all(patience(one.reason) is Patience.WAITING for one in self.refusals)


Held = User | Role | frozenset[str]
"""What the server holds of one claim: a user, a role, or the privileges of a group."""


def report(
    entry: Entry,
    plan: ClaimPlan,
    result: Result,
    server: ServerFacts,
    endpoint: str,
    unbound: Refusal | None = None,
) -> Report:
    """Return what is true of a resource that is not being deleted.

    `unbound` is why the Secret of its application could not be written.
    """
    uid, name, outcome = entry.uid, plan.claim.object_name, result.outcome
    done = outcome.done[uid]
    held = held_now(plan, result, server)
    refusals = _refusals(plan, outcome, server)
    if held is not None and plan.origin is not None:
        refusals = tuple(NOT_YET_DROPPED if one is EXPIRED else one for one in refusals)
    if unbound is not None:
        refusals = (*refusals, unbound)
    status: dict[str, Any] = {"observedGeneration": entry.generation}
    if _is_unverified(entry, plan, held, server):
        refusals = (*refusals, UNVERIFIED)
    if held is not None and plan.origin is not None:
        status["claim"] = {"endpoint": endpoint, "name": name, "origin": plan.origin.value}
    elif plan.claim.origin is not None and _is_unsure(plan, result):
        status |= {key: value for key, value in entry.status.items() if key == "claim"}
    stale = _still_stale(plan, result)
    status |= _details(plan, held, entry, _not_found(entry, result.missing.get(uid)))
    if (binding := _binding(entry, held, unbound)) is not None:
        status["binding"] = binding
    if stale:
        status["pendingRevokes"] = as_pending(stale)
    success = _success(plan.claim, held, stale, status.get("notFound", ()))
    conditions = list(summarize_ready(refusals, success, entry.generation))
    if isinstance(held, User) and not _is_hidden(plan, held):
        conditions += _password_condition(entry, plan, outcome, held, server)
    if server.observe_only:
        conditions += _tell_plan(entry, plan, held, status)
    repairs = repairs_of(entry, plan, done)
    transitions, changes = events_of_transition(entry, conditions[0]), events_of_changes(plan, done, repairs)
    return Report(status, tuple(conditions), transitions, changes, refusals, len(repairs))


def pending_report(entry: Entry, refusal: Refusal) -> Report:
    """Return a status that says why a resource can't be reconciled; the rest of its status stays as it is."""
    kept = {
        key: value for key, value in entry.status.items() if key not in {"conditions", "observedGeneration"}
    }
    conditions = summarize_ready((refusal,), "", entry.generation)
    status = {**kept, "observedGeneration": entry.generation}
    return Report(status, conditions, events_of_transition(entry, conditions[0]), refusals=(refusal,))


def should_decide_again(outcome: Outcome, uid: str) -> bool:
    """Return whether Milvus was not as observed, so that deciding again at once makes sense."""
    return any(
        isinstance(error, AlreadyExists | Changed | OldPasswordRefused) for _, error in outcome.failed[uid]
    )


def held_now(plan: ClaimPlan, result: Result, server: ServerFacts) -> Held | None:
    """Return what the server holds of one claim now, without a copy of the whole state."""
    claim, observed = plan.claim, result.observed
    name, done = claim.object_name, result.outcome.done[claim.ref.uid]
    match claim.ref.kind:
        case Kind.USER:
            user = observed.users.get(name)
            now = apply_all(State(users={name: user} if user else {}), done).users.get(name)
            seen = result.confirmed.get(name)
            if now is None or seen is None or seen.password is not PasswordVerdict.IN_FORCE:
                return now
            return replace(now, hash_digest=seen.hash_digest)
        case Kind.ROLE:
            role = observed.roles.get(name)
            before = State(roles={name: role} if role else {})
            return apply_all(before, done, with_companions=server.companions).roles.get(name)
        case Kind.GROUP:
            group = observed.groups.get(name)
            groups = {} if group is None else {name: group}
            return apply_all(State(groups=groups), done).groups.get(name)


def _still_stale(plan: ClaimPlan, result: Result) -> tuple[StaleGrant, ...]:
    """Return what a group lost and the proxies still give: what was not cleared, of roles that exist."""
    if not plan.stale:
        return ()
    done = (one for one in result.outcome.done[plan.claim.ref.uid] if isinstance(one, ClearProxies))
    cleared = {StaleGrant(one.role, one.grant) for one in done}
    made = {
        one.role for changes in result.outcome.done.values() for one in changes if isinstance(one, CreateRole)
    }
    there = result.observed.roles.keys() | made
    return tuple(one for one in sorted(plan.stale - cleared) if one.role in there)


def as_pending(stale: Iterable[StaleGrant]) -> list[dict[str, str]]:
    """Return stale grants in the form of status.pendingRevokes."""
    return [
        {
            "role": one.role,
            "privilege": one.grant.privilege,
            "database": one.grant.database,
            "objectName": one.grant.object_name,
        }
        for one in sorted(stale)[:MOST_GRANTS]
    ]


def _is_unsure(plan: ClaimPlan, result: Result) -> bool:
    """Return whether the object may exist all the same: it could not be read, or the answer was an unknown one."""
    if plan.claim.ref.kind is Kind.GROUP and result.observed.groups_unreadable:
        return True
    return any(isinstance(error, InternalError) for _, error in result.outcome.failed[plan.claim.ref.uid])


def _refusals(plan: ClaimPlan, outcome: Outcome, server: ServerFacts) -> tuple[Refusal, ...]:
    uid = plan.claim.ref.uid
    failed = (_refusal_of(change, error, plan.claim) for change, error in outcome.failed[uid])
    refusals = [*plan.refusals, *outcome.waiting[uid], *failed]
    held_back, mistake = outcome.held_back[uid], find_mistake(refusals)
    if held_back and mistake:
        refusals.append(kept_until_mended(plan.claim, mistake, held_back))
    if not server.authorization and plan.claim.ref.kind is Kind.USER:
        refusals.append(AUTHORIZATION_OFF)
    return tuple(dict.fromkeys(refusals))


NOT_YET_DROPPED = Refusal(
    Reason.PENDING, "spec.expiresAt has passed, and the user is still in Milvus; dropping it is tried again."
)
UNVERIFIED = Refusal(
    Reason.UNREACHABLE,
    "Milvus gave no verdict on the password of the Secret; its login is tried again in half a minute.",
)


def _is_unverified(entry: Entry, plan: ClaimPlan, held: Held | None, server: ServerFacts) -> bool:
    """Return whether it is unknown if the Secret's password is in force, because its login had no result."""
    wanted = plan.claim.wanted
    if not isinstance(held, User) or not isinstance(wanted, WantedUser) or plan.origin is None:
        return False
    if held.password is not PasswordVerdict.UNKNOWN or not server.authorization or plan.claim.suspended:
        return False
    if not plan.claim.is_permitted:
        return False
    return wanted.password_refusal is None and wanted.password != entry.password


def _refusal_of(change: Change, error: MilvusRbacError, claim: Claim) -> Refusal:
    """Return why Milvus refused a change, with the field to correct where it is about what the resource asks for."""
    refusal, where = error.refusal, _row_of(change, claim) or field_of(change)
    # Creating a user is about its name and its password at once.
    if refusal.reason in _ABOUT_PASSWORDS:
        where = "spec.passwordSecretRef"
    elif refusal.reason not in _ABOUT_THE_SPEC:
        return refusal
    return Refusal.naming(refusal.reason, "", where, f": {refusal.message}") if where else refusal


def _row_of(change: Change, claim: Claim) -> str:
    """Return the row of spec.grants that asks for what a change grants, with the collection."""
    if not isinstance(change, GrantPrivilege) or not isinstance(claim.wanted, WantedRole):
        return ""
    grant = change.grant
    rows = (
        index
        for index, row in enumerate(claim.wanted.rows)
        if grant.privilege in row.privileges
        and (row.database or DEFAULT_DATABASE) == grant.database
        and (grant.object_name == ANY or grant.object_name in row.collections)
    )
    index = next(rows, None)
    name = "" if grant.object_name == ANY else f" ({grant.object_name})"
    return "" if index is None else f"spec.grants[{index}]{name}"


_ABOUT_PASSWORDS = {Reason.PASSWORD_TOO_SHORT, Reason.PASSWORD_TOO_LONG, Reason.PASSWORD_TOO_WEAK}
_ABOUT_THE_SPEC = {
    Reason.INVALID_NAME,
    Reason.INVALID_SCOPE,
    Reason.RESERVED_NAME,
    Reason.UNKNOWN_PRIVILEGE,
    Reason.UNSUPPORTED_BY_SERVER,
}

AUTHORIZATION_OFF = Refusal(
    Reason.AUTHORIZATION_OFF,
    "Authorization is off on this Milvus, so any password logs in: set common.security.authorizationEnabled to true.",
)


def _not_found(entry: Entry, missing: Collection[Place] | None) -> Sequence[str]:
    """Return what a role's grants name and Milvus does not have; what the status says of this spec where nobody asked."""
    if missing is not None:
        return sorted(map(_place, missing))
    is_same = entry.status.get("observedGeneration") == entry.generation
    return entry.status.get("notFound", ()) if is_same else ()


def _place(place: Place) -> str:
    database, collection = place
    return f"database {database}" if collection == ANY else f"{database}.{collection}"


def _success(claim: Claim, held: Held | None, stale: Sequence[StaleGrant], missing: Sequence[str]) -> str:
    name = claim.object_name
    match held:
        case User():
            return f"User {name} is in Milvus with the password of its Secret; roles: {len(held.roles)}."
        case frozenset():
            said = f"Privilege group {name} is in Milvus; privileges: {len(held)}."
            if not stale:
                return said
            left = "; ".join(f"{one.role}: {one.grant}" for one in stale)
            return f"{said} Roles that no MilvusRole owns keep what it lost until it is revoked or the proxies restart: {left}."
        case _:
            said = f"Role {name} is in Milvus; grants: {len(held.grants or ()) if held else 0}."
            if not missing:
                return said
            return f"{said} Milvus has no {listed(missing)} yet, or the name is mistyped; grants there take effect once it exists."


def _tell_plan(entry: Entry, plan: ClaimPlan, held: Held | None, status: dict[str, Any]) -> list[Condition]:
    """Write the plan of mode Observe into the status; return whether Milvus differs, as far as it was compared."""
    lines = [] if _is_hidden(plan, held) else [printable(describe(change)) for change in plan.withheld]
    if lines:
        status["plan"] = lines[:MOST_PLAN_LINES]
    return [] if plan.refusals and not lines else [summarize_drift(lines, entry.generation)]


def _is_hidden(plan: ClaimPlan, held: Held | None) -> bool:
    """Return whether the object has another owner: other namespaces must not learn what it has."""
    return held is not None and plan.origin is None and plan.claim.permit is not None


def _details(plan: ClaimPlan, held: Held | None, entry: Entry, not_found: Sequence[str]) -> dict[str, Any]:
    claim = plan.claim
    if _is_hidden(plan, held):
        return {}
    if isinstance(held, Role) and held.grants is not None:
        grants = sorted(held.grants)
        shown = [
            {
                "objectType": grant.object_type,
                "privilege": grant.privilege,
                "database": grant.database,
                "objectName": grant.object_name,
            }
            for grant in grants[:MOST_GRANTS]
        ]
        missing = {"notFound": list(not_found)} if not_found else {}
        return {"grants": shown, "grantCount": len(grants), **missing}
    if isinstance(held, frozenset):
        return {"privileges": sorted(held), "privilegeCount": len(held)}
    if isinstance(held, User):
        details: dict[str, Any] = {"roles": sorted(held.roles), "roleCount": len(held.roles)}
        if (password := _password_in_force(claim, held, entry)) is not None:
            details["password"] = password
        return details
    return {}


def _binding(entry: Entry, held: Held | None, unbound: Refusal | None) -> object:
    spec = entry.user
    if spec is None or spec.connection_secret is None or not isinstance(held, User) or unbound is not None:
        return None
    if held.password is PasswordVerdict.IN_FORCE:
        return {"name": spec.connection_secret.name}
    return entry.status.get("binding")


def _password_in_force(claim: Claim, held: User, entry: Entry) -> object:
    if held.password is not PasswordVerdict.IN_FORCE:
        # Until another version is in force it is known of none that this one is not: a rotation keeps its text.
        return entry.status.get("password")
    version = claim.wanted.password if isinstance(claim.wanted, WantedUser) else None
    if version is None:
        return None
    known = {"secretUid": version.uid, "secretResourceVersion": version.resource_version}
    if version.key:
        known["secretKey"] = version.key
    return {**known, "hashDigest": held.hash_digest} if held.hash_digest else known


def _password_condition(
    entry: Entry, plan: ClaimPlan, outcome: Outcome, held: User, server: ServerFacts
) -> list[Condition]:
    refusal = _password_refusal(plan, outcome, server)
    if refusal is None and held.password is not PasswordVerdict.IN_FORCE:
        # It is unknown: the user is not ours, or its login had no result.
        return []
    return [summarize_password(refusal, entry.generation)]


def _password_refusal(plan: ClaimPlan, outcome: Outcome, server: ServerFacts) -> Refusal | None:
    if not server.authorization:
        return AUTHORIZATION_OFF
    if isinstance(plan.claim.wanted, WantedUser) and plan.claim.wanted.password_refusal:
        return plan.claim.wanted.password_refusal
    for change, error in outcome.failed[plan.claim.ref.uid]:
        if isinstance(change, UpdatePassword | RecreateUser):
            return _refusal_of(change, error, plan.claim)
    if any(isinstance(change, UpdatePassword | RecreateUser) for change in plan.withheld) and plan.refusals:
        return next((one for one in plan.refusals if one.reason not in _NOT_ABOUT_PASSWORDS), None)
    return None


_NOT_ABOUT_PASSWORDS = {Reason.WAITING_FOR_ROLE, Reason.RESERVED_NAME, Reason.NOT_PERMITTED}


def is_pending(entry: Entry, *, observes: bool) -> bool:
    """Return whether a resource has no truth of its own to keep while its connection, which perhaps only observes, can't be used."""
    ready = entry.ready
    if ready is None or ready.observed_generation != entry.generation:
        return True
    # A connection that was suspended, or observed, when that was said may do neither any more.
    is_own = entry.claimant is not None and entry.claimant.suspend
    if (ready.reason == Reason.SUSPENDED and not is_own) or (
        ready.reason == Reason.OBSERVED and not observes
    ):
        return True
    # What was not permitted and has nothing may be permitted by now: that could not be looked up.
    is_let_in = ready.reason == Reason.NOT_PERMITTED and not entry.has_claim
    return is_let_in or patience(ready.reason) is Patience.WAITING
