"""What a reconciler promises whatever it finds: it gets there, it stays there, and nothing foreign is lost on the way."""

from copy import deepcopy
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from milvus_rbac.domain.changes import Change, DropRole, DropUser, Phase, phase, takes
from milvus_rbac.domain.claims import Adoption, Claim, GrantRow, Kind, Origin, WantedRole, WantedUser
from milvus_rbac.domain.conditions import Reason
from milvus_rbac.domain.desired import DesiredRole, lower
from milvus_rbac.domain.privileges import companions
from milvus_rbac.domain.state import ANY, PUBLIC_ROLE
from milvus_rbac.milvus.port import Password
from properties.strategies import (
    Situation,
    changes,
    crowded_situations,
    foreign_situations,
    permitted_situations,
)
from properties.world import World
from support.fake_milvus import ROOT_PASSWORD

ANYWHERE = st.integers(0, 10_000)
"""Where a turn breaks off: taken modulo the writes of a turn that does not, so that every write is as likely."""


def stop_in(situation: Situation, anywhere: int) -> int:
    """After how many writes a turn of this situation breaks off."""
    undisturbed = situation.world()
    undisturbed.turn()
    return anywhere % (undisturbed.milvus.writes + 1)


@given(permitted_situations())
def test_one_turn_brings_about_what_is_wanted(situation: Situation) -> None:
    world = situation.world()
    result = world.turn()
    assert not any(result.outcome.failed.values())
    assert_settled(situation, world)


@given(permitted_situations())
def test_after_a_turn_nothing_is_left_to_do(situation: Situation) -> None:
    world = situation.world()
    world.turn()
    written = world.milvus.writes
    again = world.turn()
    assert [(plan.changes, plan.withheld) for plan in again.plans] == [((), ())] * len(again.plans)
    assert world.milvus.writes == written


@given(
    permitted_situations(),
    st.lists(
        st.tuples(ANYWHERE, st.booleans(), st.booleans()),
        min_size=1,
        max_size=3,
    ),
)
def test_stopped_anywhere_it_gets_there_all_the_same(
    situation: Situation, stops: list[tuple[int, bool, bool]]
) -> None:
    world = situation.world()
    for anywhere, answer_lost, status_lost in stops:
        after = stop_in(situation, anywhere)
        world.interrupted_turn(after, answer_lost=answer_lost, status_lost=status_lost)
    result = world.turn()
    assert not any(result.outcome.failed.values())
    assert_settled(situation, world)
    assert not [change for plan in world.turn().plans for change in plan.changes]


@given(crowded_situations())
def test_what_a_limit_refuses_is_there_after_the_next_turn(situation: Situation) -> None:
    world = situation.world()
    first = world.turn()
    # What makes no sense without the refused create is not even tried.
    reasons = [error.refusal.reason for some in first.outcome.failed.values() for _, error in some]
    assert set(reasons) <= {Reason.LIMIT_REACHED}
    assert not any(world.turn().outcome.failed.values())
    assert_settled(situation, world)


@given(permitted_situations(), ANYWHERE)
def test_what_was_created_is_known_as_ours_whenever_the_operator_dies(
    situation: Situation, anywhere: int
) -> None:
    world = situation.world()
    before = world.milvus.users.keys() | world.milvus.roles.keys()
    world.interrupted_turn(stop_in(situation, anywhere), answer_lost=True, status_lost=True)
    now = world.milvus.users.keys() | world.milvus.roles.keys()
    owned = {one.object_name for one in world.claims.values() if one.is_ours}
    assert now - before <= owned


@given(permitted_situations())
def test_a_mistake_takes_nothing_away_and_once_it_is_mended_all_is_as_asked(situation: Situation) -> None:
    world = situation.world()
    world.turn()
    right, users, roles = dict(world.claims), deepcopy(world.milvus.users), deepcopy(world.milvus.roles)
    world.claims = {uid: mistaken(one) for uid, one in right.items()}
    world.turn()
    assert (world.milvus.users, world.milvus.roles) == (users, roles)
    world.claims = {uid: replace(one, wanted=right[uid].wanted) for uid, one in world.claims.items()}
    world.turn()
    assert_settled(situation, world)


def mistaken(one: Claim) -> Claim:
    """The same claim, whose resource now asks for nothing but what is not there."""
    if isinstance(one.wanted, WantedUser):
        return replace(one, wanted=replace(one.wanted, roles=frozenset({"not_there"})))
    return replace(one, wanted=WantedRole((GrantRow(("Nonsense",)),)))


@given(permitted_situations())
def test_changes_are_made_in_the_order_of_the_phases(situation: Situation) -> None:
    world = situation.world()
    world.turn()
    turns = [phase(change) for change in world.milvus.asked]
    assert turns == sorted(turns)


@given(changes, changes)
def test_every_give_comes_before_every_take_but_that_of_a_password(one: Change, other: Change) -> None:
    if not takes(one) and takes(other) and phase(other) not in {Phase.PASSWORDS, Phase.RECREATE}:
        assert phase(one) < phase(other)


@given(foreign_situations())
def test_a_safe_adoption_takes_nothing_away(situation: Situation) -> None:
    world = situation.world()
    world.turn()
    untouchable = {one.key: one.adoption for one in situation.claims if one.adoption is not Adoption.ALWAYS}
    for name, (password, roles) in situation.users.items():
        adoption = untouchable.get((Kind.USER, name))
        account = world.milvus.users[name]
        if adoption is not None:
            assert account.password == password
            assert account.roles >= roles
        if adoption is Adoption.NEVER:
            assert account.roles == roles
    for name, grants in situation.roles.items():
        adoption = untouchable.get((Kind.ROLE, name))
        if adoption is not None:
            has = world.milvus.roles[name]
            assert all(one in has or replace(one, object_name=ANY) in has for one in grants)
        if adoption is Adoption.NEVER:
            assert world.milvus.roles[name] == grants


@given(
    foreign_situations(),
    st.sets(st.integers(0, 3)),
    st.booleans(),
    st.none() | st.tuples(ANYWHERE, st.booleans()),
)
def test_only_what_was_created_or_taken_over_with_always_is_dropped(
    situation: Situation, doomed: set[int], rotated: bool, crash: tuple[int, bool] | None
) -> None:
    """The whole life of resources over things of others: applied, perhaps a crash, a rotation, deleted."""
    world = situation.world()
    if crash is not None:
        anywhere, answer_lost = crash
        world.interrupted_turn(stop_in(situation, anywhere), answer_lost=answer_lost, status_lost=True)
    world.turn()
    if rotated:
        world.passwords = {name: Password("third-3") for name in world.passwords}
    world.turn()
    made = {one.key for one in world.claims.values() if one.is_ours and not _was_there(situation, one.key)}
    uids = [uid for index, uid in enumerate(world.claims) if index in doomed]
    world.delete(uids)
    world.turn()
    gone = {one.key for one in situation.claims if one.ref.uid in uids}
    for key in gone:
        there = _is_there(world, key)
        if _was_there(situation, key):
            adoption = next(one.adoption for one in situation.claims if one.key == key)
            assert there or adoption is Adoption.ALWAYS
        elif key in made:
            assert not there
    for key in _everything(situation) - gone:
        assert _is_there(world, key)
    assert world.milvus.users["root"].password == ROOT_PASSWORD


@given(foreign_situations(), st.booleans())
def test_nothing_is_written_while_it_is_only_observed_or_suspended(
    situation: Situation, suspended: bool
) -> None:
    world = situation.world()
    if suspended:
        world.claims = {uid: replace(one, suspended=True, retain=True) for uid, one in world.claims.items()}
    else:
        world.server = replace(world.server, observe_only=True)
    world.turn()
    assert not any(one.is_ours for one in world.claims.values())
    world.claims = {
        uid: replace(one, deleting=True, origin=Origin.CREATED) for uid, one in world.claims.items()
    }
    world.turn()
    assert world.milvus.asked == []


@given(foreign_situations())
def test_only_deleted_resources_lead_to_drops(situation: Situation) -> None:
    world = situation.world()
    result = world.turn()
    drops = [
        change for plan in result.plans for change in plan.changes if isinstance(change, DropUser | DropRole)
    ]
    assert drops == []


# --- what it means to have got there


def assert_settled(situation: Situation, world: World) -> None:
    milvus, dropped = world.milvus, situation.unwanted(Kind.ROLE)
    users, roles = situation.wanted(Kind.USER), situation.wanted(Kind.ROLE)
    assert milvus.users.keys() == (situation.users.keys() | users.keys() | {"root"}) - situation.unwanted(
        Kind.USER
    )
    assert milvus.roles.keys() == (situation.roles.keys() | roles.keys() | {"admin", PUBLIC_ROLE}) - dropped
    for name, account in milvus.users.items():
        if name in users:
            wanted = users[name].wanted
            assert isinstance(wanted, WantedUser)
            assert account.roles - {PUBLIC_ROLE} == wanted.roles
            assert account.password == situation.secrets[name]
        elif name in situation.users:
            password, bound = situation.users[name]
            assert account.password == password
            assert account.roles == bound - dropped
    for desired in lower(((one, None) for one in roles.values()), world.server):
        assert isinstance(desired.state, DesiredRole)
        held, grants = milvus.roles[desired.claim.object_name], desired.state.grants
        assert grants <= held <= grants | companions(grants)
    for name in situation.roles.keys() - roles.keys() - dropped:
        assert milvus.roles[name] == situation.roles[name]


def _everything(situation: Situation) -> set[tuple[Kind, str]]:
    return {(Kind.USER, name) for name in situation.users} | {(Kind.ROLE, name) for name in situation.roles}


def _was_there(situation: Situation, key: tuple[Kind, str]) -> bool:
    return key in _everything(situation)


def _is_there(world: World, key: tuple[Kind, str]) -> bool:
    kind, name = key
    return name in (world.milvus.users if kind is Kind.USER else world.milvus.roles)
