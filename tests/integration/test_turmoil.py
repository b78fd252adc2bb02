"""Anything may happen, in any order: when the dust settles Milvus is as the resources ask, and their statuses say so."""

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, get_state_machine_test, initialize, precondition, rule

from support.double.faults import Trouble
from support.turmoil import GROUPED, SINGLE, World, invite_strangers

from .conftest import DressUp
from .test_dresses import DRESSES

USERS, ROLES, GROUPS = (st.sampled_from([f"{kind}{number}" for number in (1, 2)]) for kind in "urg")
PRIVILEGES = st.frozensets(st.sampled_from(["Search", "Query", "Load", "Insert"]), min_size=1, max_size=3)
TROUBLES = st.sampled_from([Trouble.REFUSED, Trouble.REPLY_LOST, Trouble.NOT_READY])
TALES = int(os.environ.get("TALES", "2"))
"""How many are told of each version."""
STEPS = 14


class Turmoil(RuleBasedStateMachine):
    """What people, other administrators and failures do, one after the other and without waiting."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    @initialize(rights=st.frozensets(st.sampled_from(sorted(SINGLE)), max_size=2), settled=st.booleans())
    def there_is_something(self, rights: frozenset[str], settled: bool) -> None:
        if self.world.has_groups:
            self.world.put_group("g1", frozenset({"Search", "Query", "Load"}))
        self.world.put_role("r1", rights | ({"g1"} if self.world.has_groups else set()))
        self.world.put_user("u1", frozenset({"r1"}))
        if settled:
            self.world.settle()

    @rule(name=USERS, roles=st.frozensets(ROLES, max_size=2))
    def a_user(self, name: str, roles: frozenset[str]) -> None:
        self.world.put_user(name, roles)

    @rule(name=ROLES, rights=st.frozensets(st.sampled_from(sorted(SINGLE)), max_size=3), data=st.data())
    def a_role(self, name: str, rights: frozenset[str], data: st.DataObject) -> None:
        grouped = st.frozensets(st.sampled_from(sorted(GROUPED)), max_size=2)
        more = data.draw(grouped) if self.world.has_groups else frozenset()
        self.world.put_role(name, rights | more)

    @precondition(lambda self: self.world.has_groups)
    @rule(name=GROUPS, privileges=PRIVILEGES)
    def a_group(self, name: str, privileges: frozenset[str]) -> None:
        self.world.put_group(name, privileges)

    @rule(name=USERS)
    def another_password(self, name: str) -> None:
        if name in self.world.users:
            self.world.rotate(name)

    @rule(user=USERS, role=ROLES, group=GROUPS, which=st.integers(0, 2), pause=st.booleans())
    def a_resource_goes_or_pauses(self, user: str, role: str, group: str, which: int, pause: bool) -> None:
        kind, name = (("MilvusUser", user), ("MilvusRole", role), ("MilvusPrivilegeGroup", group))[which]
        if pause:
            self.world.pause(kind, name)
        else:
            self.world.remove(kind, name)

    @rule(what=st.sampled_from(["bind", "unbind", "drop user", "change password"]), name=USERS)
    def a_user_is_changed_by_hand(self, what: str, name: str) -> None:
        if name in self.world.users:
            self.world.by_hand(what, name)

    @rule(what=st.sampled_from(["grant", "revoke", "drop role"]), name=ROLES)
    def a_role_is_changed_by_hand(self, what: str, name: str) -> None:
        if name in self.world.roles:
            self.world.by_hand(what, name)

    @precondition(lambda self: self.world.has_groups)
    @rule(name=GROUPS)
    def a_group_is_changed_by_hand(self, name: str) -> None:
        if name in self.world.groups:
            self.world.by_hand("grow", name)

    @rule(trouble=TROUBLES, times=st.integers(1, 3))
    def calls_fail(self, trouble: Trouble, times: int) -> None:
        self.world.trouble(trouble, times)

    @rule(at_write=st.integers(0, 4), after=st.booleans())
    def the_operator_ends(self, at_write: int, after: bool) -> None:
        self.world.crash(at_write, after=after)

    @rule()
    def the_dust_settles(self) -> None:
        self.world.settle()

    def teardown(self) -> None:
        self.world.settle()
        self.world.clear()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("dress", DRESSES)
def test_whatever_happens_milvus_is_as_asked_in_the_end_and_every_status_is_true(
    dress_up: DressUp, dress: str
) -> None:
    story, double = dress_up(dress)
    double.ask(invite_strangers)
    world = World(story, double, has_groups=dress != "2.3")
    tell: Callable[[], None] = get_state_machine_test(
        lambda: Turmoil(world),  # type: ignore[arg-type]  # Hypothesis takes any factory; see run_state_machine_as_test
        settings=settings(
            max_examples=TALES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    try:
        seed(int(os.environ.get("SEED", DRESSES.index(dress))))(tell)()
    except Exception as error:  # noqa: BLE001 - whatever it was, what was wrong first is told
        # The world is not as it was before the tale, so Hypothesis may only say that it fails in another way now.
        raise AssertionError(world.failure or error) from None
