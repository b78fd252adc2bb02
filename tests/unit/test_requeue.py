"""A claim that waits for something in Milvus is reconciled when it comes, whoever brought it."""

from milvus_rbac.controller.apply import Outcome
from milvus_rbac.controller.cache import Cache
from milvus_rbac.controller.claims import Site
from milvus_rbac.controller.memory import Memory
from milvus_rbac.controller.metrics import Metrics
from milvus_rbac.controller.reconcile import Result
from milvus_rbac.controller.requeue import wake_and_wait
from milvus_rbac.domain.changes import Change, CreateRole, DropRole, DropUser
from milvus_rbac.domain.claims import Claim, Kind, Ref, WantedUser
from milvus_rbac.domain.conditions import Reason
from milvus_rbac.domain.plan import ClaimPlan
from milvus_rbac.domain.state import Role, State
from milvus_rbac.milvus.errors import Refused
from milvus_rbac.milvus.port import Address
from unit.resources import HERE, user

SITE = Site(("ns", "prod"), "uid-prod", HERE, {HERE}, "root", Address("http://milvus.ns:19530"), ())


def waiting(*roles: str) -> ClaimPlan:
    claim = Claim(Ref(Kind.USER, "ns", "app", "uid-app"), "app", WantedUser(frozenset(roles)), "")
    return ClaimPlan(claim)


def turn(
    memory: Memory, plans: tuple[ClaimPlan, ...], *done: Change, roles: tuple[str, ...] = ()
) -> set[str]:
    """Run the conclusions of a turn; the claims that are woken."""
    outcome, cache = Outcome(), Cache()
    outcome.done["uid-other"] += done
    cache.put(user(status={"roles": ["old"]}))
    observed = State(roles={role: Role() for role in roles})
    return set(wake_and_wait(memory, cache, Result(observed, plans, outcome), SITE))


def test_a_user_is_woken_by_its_role() -> None:
    memory = Memory()
    assert turn(memory, (waiting("reader"),)) == set()
    assert turn(memory, (), CreateRole("other")) == set()
    assert turn(memory, (), CreateRole("reader")) == {"uid-app"}
    assert turn(memory, (), CreateRole("reader")) == set(), "it waits no longer"


def test_a_role_made_by_another_client_wakes_as_well() -> None:
    memory = Memory()
    turn(memory, (waiting("reader"),))
    assert turn(memory, (), roles=("reader",)) == {"uid-app"}


def test_the_users_of_a_role_that_is_dropped_are_looked_at() -> None:
    assert turn(Memory(), (), DropRole("old")) == {"uid-app"}


def test_what_a_limit_kept_out_is_woken_by_any_drop() -> None:
    memory, outcome = Memory(), Outcome()
    outcome.failed["uid-app"].append((CreateRole("r"), Refused(Reason.LIMIT_REACHED, "full")))
    wake_and_wait(memory, Cache(), Result(State(), (), outcome), SITE)
    assert turn(memory, (), DropUser("x", frozenset())) == {"uid-app"}


def test_what_is_forgotten_is_not_woken() -> None:
    memory = Memory()
    turn(memory, (waiting("reader"),))
    memory.forget("uid-app")
    assert turn(memory, (), CreateRole("reader")) == set()
    assert len(memory) == 0


def test_a_namespace_that_can_be_read_again_leaves_the_metrics() -> None:
    metrics = Metrics()
    metrics.note_unreadable({"team-b": "forbidden"})
    name, labels = "milvus_rbac_unreadable_namespace", {"namespace": "team-b"}
    assert metrics.registry.get_sample_value(name, labels) == 1
    metrics.note_unreadable({})
    assert metrics.registry.get_sample_value(name, labels) is None
