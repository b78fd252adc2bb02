"""What the pure decisions promise about each other, whatever they are asked."""

from collections.abc import Set as AbstractSet
from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from milvus_rbac.domain import privileges
from milvus_rbac.domain.changes import Change, DropRole, DropUser, GrantPrivilege, RevokePrivilege, takes
from milvus_rbac.domain.claims import Adoption, Claim, GrantRow, Kind, Origin, WantedRole
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.desired import DesiredRole, ServerFacts, lower
from milvus_rbac.domain.diff import diff
from milvus_rbac.domain.guard import guard
from milvus_rbac.domain.ownership import assemble, elect
from milvus_rbac.domain.scopes import KnownPrivileges
from milvus_rbac.domain.state import ANY, DEFAULT_DATABASE, Grant, PasswordVerdict, Role, State, User
from properties.strategies import (
    Holdings,
    arbitrary_claims,
    arbitrary_servers,
    changes,
    holdings,
    verdicts,
)
from properties.world import SERVER_FACTS, claim

NO = Refusal(Reason.INVALID_NAME, "no")
claim_lists = st.lists(arbitrary_claims(), max_size=5, unique_by=lambda one: one.ref.uid)


def observed_from(held: Holdings, verdict: PasswordVerdict) -> State:
    users, roles = held
    return State(
        users={name: User(bound, verdict) for name, (_, bound) in users.items()},
        roles={name: Role(grants) for name, grants in roles.items()},
    )


# --- guard


@given(claim_lists, holdings(), verdicts, arbitrary_servers(), st.sets(changes))
def test_a_guard_never_adds_a_change(
    claims: list[Claim], held: Holdings, verdict: PasswordVerdict, server: ServerFacts, fought: set[Change]
) -> None:
    observed = observed_from(held, verdict)
    proposals = diff(observed, lower(assemble(claims, {one.ref.uid for one in claims}), server))
    contested = frozenset((one.ref.uid, change) for one in claims for change in fought)
    plans = {plan.claim.ref.uid: plan for plan in guard(proposals, observed, server, contested)}
    assert plans.keys() == {one.ref.uid for one in claims}
    for proposal in proposals:
        plan = plans[proposal.desired.claim.ref.uid]
        assert {*plan.changes, *plan.withheld} <= {*proposal.changes}
        assert not {*plan.changes} & {*plan.withheld}
        # What is kept keeps its order.
        assert list(plan.changes) == [change for change in proposal.changes if change in plan.changes]


@given(claim_lists, holdings(), verdicts, arbitrary_servers())
def test_a_drop_is_planned_only_for_what_goes_and_is_ours_or_proven(
    claims: list[Claim], held: Holdings, verdict: PasswordVerdict, server: ServerFacts
) -> None:
    observed = observed_from(held, verdict)
    assembled = assemble(claims, {one.ref.uid for one in claims})
    owners = {one.ref.uid for one, refusal in assembled if refusal is None}
    for plan in guard(diff(observed, lower(assembled, server)), observed, server):
        if not any(isinstance(change, DropUser | DropRole) for change in plan.changes):
            continue
        one = plan.claim
        assert one.deleting
        assert one.ref.uid in owners
        assert not any((one.retain, server.observe_only, plan.left_behind))
        is_made_or_taken = (
            one.intended
            or one.origin is Origin.CREATED
            or (one.origin is Origin.ADOPTED and one.adoption is Adoption.ALWAYS)
        )
        is_proven = one.ref.kind is Kind.USER and not one.is_ours and verdict is PasswordVerdict.IN_FORCE
        assert is_made_or_taken or is_proven


@given(claim_lists, holdings(), verdicts, arbitrary_servers())
def test_what_becomes_ours_by_safe_adoption_loses_nothing_in_that_plan(
    claims: list[Claim], held: Holdings, verdict: PasswordVerdict, server: ServerFacts
) -> None:
    observed = observed_from(held, verdict)
    foreign = [replace(one, origin=None, intended=False, deleting=False) for one in claims]
    proposals = diff(observed, lower(assemble(foreign, {one.ref.uid for one in foreign}), server))
    for plan in guard(proposals, observed, server):
        if plan.claim.adoption is not Adoption.ALWAYS:
            role = observed.roles.get(plan.claim.object_name)
            made = {change.grant for change in plan.changes if isinstance(change, GrantPrivilege)}
            has = made | ((role.grants if role else None) or frozenset())
            assert all(_is_covered(change, has) for change in plan.changes if takes(change))
        if plan.claim.adoption is Adoption.NEVER:
            assert plan.origin is not Origin.ADOPTED


def _is_covered(change: Change, grants: AbstractSet[Grant]) -> bool:
    """Whether what a change takes is within a wider grant of the same privilege."""
    if not isinstance(change, RevokePrivilege):
        return False
    lost = change.grant
    wider = {replace(lost, object_name=ANY), replace(lost, object_name=ANY, database=ANY)} - {lost}
    return not wider.isdisjoint(grants)


# --- lower

privilege_names = st.sampled_from(
    (*(row.name for row in privileges.CATALOGUE), "search", "PrivilegeLoad", "Nonsense")
)
rows = st.builds(
    GrantRow,
    st.lists(privilege_names, min_size=1, max_size=4).map(tuple),
    st.sampled_from((None, DEFAULT_DATABASE, "sales", ANY)),
    st.lists(st.sampled_from(("orders", "items")), unique=True).map(tuple),
)


@given(st.lists(rows, max_size=4), arbitrary_servers(), st.booleans())
def test_every_grant_is_one_that_a_row_asked_for(
    asked: list[GrantRow], server: ServerFacts, groups: bool
) -> None:
    one = claim(Kind.ROLE, "reader", WantedRole(tuple(asked)))
    (desired,) = lower(
        [(one, None)], replace(server, known_privileges=KnownPrivileges(privilege_groups=groups))
    )
    assert isinstance(desired.state, DesiredRole)
    for grant in desired.state.grants:
        row = privileges.find(grant.privilege)
        assert row is not None
        assert grant.object_type == row.object_type
        assert any(_asks(row, asking, grant.database, grant.object_name) for asking in asked)


def _asks(row: privileges.Privilege, asking: GrantRow, database: str, object_name: str) -> bool:
    if row.name not in asking.privileges:
        return False
    if row.level is privileges.Level.CLUSTER:
        taken = asking.database if row.takes_database else None
        return (database, object_name) == (taken or ANY, ANY) and asking.database in {None, ANY, taken}
    return database == (asking.database or DEFAULT_DATABASE) and object_name in (asking.collections or (ANY,))


@given(st.lists(rows, max_size=4), arbitrary_servers())
def test_every_name_in_every_row_is_granted_or_refused_with_its_row(
    asked: list[GrantRow], server: ServerFacts
) -> None:
    one = claim(Kind.ROLE, "reader", WantedRole(tuple(asked)))
    (desired,) = lower([(one, None)], server)
    assert isinstance(desired.state, DesiredRole)
    refused = 0
    for index, row in enumerate(asked):
        for name in row.privileges:
            alone = claim(
                Kind.ROLE, "reader", WantedRole((GrantRow((name,), row.database, row.collections),))
            )
            (only,) = lower([(alone, None)], server)
            assert isinstance(only.state, DesiredRole)
            assert bool(only.state.grants) != bool(only.refusals)
            assert only.state.grants <= desired.state.grants
            for refusal in only.refusals:
                refused += 1
                said = refusal.message.replace("spec.grants[0]", f"spec.grants[{index}]")
                assert said in {one.message for one in desired.refusals}
    assert len(desired.refusals) == refused


# --- claims


@st.composite
def rivals(draw: st.DrawFn) -> list[Claim]:
    """Claims on few names, some of them refused by themselves."""
    return [replace(one, refusal=draw(st.sampled_from((None, None, NO)))) for one in draw(claim_lists)]


@given(rivals(), st.randoms(use_true_random=False))
def test_every_name_has_one_owner_among_the_valid_whatever_the_order(
    claims: list[Claim], shuffler: Random
) -> None:
    everyone = {one.ref.uid for one in claims}
    answers = {one.ref.uid: refusal for one, refusal in assemble(claims, everyone)}
    shuffled = [*claims]
    shuffler.shuffle(shuffled)
    assert {one.ref.uid: refusal for one, refusal in assemble(shuffled, everyone)} == answers
    assert answers.keys() == everyone
    for key in {one.key for one in claims}:
        valid = [
            one for one in claims if one.key == key and not one.refusal and (one.is_ours or not one.deleting)
        ]
        owners = [one for one in valid if answers[one.ref.uid] is None]
        assert len(owners) == (1 if valid else 0)
    for one in claims:
        if one.refusal:
            assert answers[one.ref.uid] == one.refusal


@given(rivals(), st.sets(st.integers(0, 4)))
def test_an_answer_does_not_depend_on_who_else_is_dirty(claims: list[Claim], chosen: set[int]) -> None:
    everyone = {one.ref.uid for one in claims}
    dirty = {one.ref.uid for index, one in enumerate(claims) if index in chosen}
    answers = {one.ref.uid: refusal for one, refusal in assemble(claims, everyone)}
    assert {one.ref.uid: refusal for one, refusal in assemble(claims, dirty)} == {
        uid: answers[uid] for uid in dirty
    }


@given(rivals(), rivals())
def test_the_incumbent_stays_whatever_claims_come(claims: list[Claim], newcomers: list[Claim]) -> None:
    """Once the owner's claim is written down, only what is written down as well can be older."""
    for key in {one.key for one in claims}:
        contenders = [replace(one, origin=None) for one in claims if one.key == key]
        owner = elect(contenders)
        if owner is None:
            continue
        incumbent = replace(owner, origin=Origin.CREATED)
        later = [replace(one, origin=None) for one in newcomers if one.ref.uid != owner.ref.uid]
        assert elect([*later, incumbent, *(one for one in contenders if one != owner)]) == incumbent


@given(rivals())
def test_messages_of_a_conflict_never_name_what_is_in_another_namespace(claims: list[Claim]) -> None:
    assembled = assemble(claims, {one.ref.uid for one in claims})
    for one, refusal in assembled:
        if refusal is None or refusal.reason is not Reason.CONFLICT:
            continue
        # An owner that is being deleted has passed the name on to its heir.
        owner = elect(other for other, _ in assembled if other.key == one.key)
        assert owner is not None
        named = f"{owner.ref.kind} {owner.ref.name}" in refusal.message
        assert named == (owner.ref.namespace == one.ref.namespace)
        assert owner.ref.namespace == one.ref.namespace or owner.ref.namespace not in refusal.message.split()


def test_a_claim_that_is_invalid_stays_refused() -> None:
    one = replace(claim(Kind.ROLE, "reader", WantedRole(())), refusal=NO)
    assert assemble([one], {one.ref.uid}) == ((one, NO),)
    assert lower([(one, NO)], SERVER_FACTS)[0].state is None
