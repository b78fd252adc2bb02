"""Namespaces that come and go while an operator serves some: one that is gone or forbidden takes nothing from the others."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from support.story import CONNECTION, Story
from support.tenants import Tenants
from testbed.chart import NAME, render
from testbed.milvus_admin import MilvusAdmin

RBAC = "/apis/rbac.authorization.k8s.io/v1"
PASSWORD = "correct-horse-1"  # noqa: S105 - a test's
SEARCH = {"privileges": ["Search"], "collections": ["*"]}


@pytest.fixture
def tenants(story: Story) -> Iterator[Tenants]:
    """Two teams on one Milvus, which may have users and roles of any name."""
    with ExitStack() as stack:
        tenants = Tenants(story)
        stack.callback(tenants.close)
        entry = {
            "userNames": ["*"],
            "roleNames": ["*"],
            "databases": ["default"],
            "privileges": ["Search"],
            "acceptWeakIsolation": True,
        }
        both = {"names": [tenants.team_a.namespace, tenants.team_b.namespace]}
        tenants.delegate(entry | {"namespaces": both})
        yield tenants


@pytest.fixture
def may_release(tenants: Tenants) -> Iterator[None]:
    """What `rbac.clusterWideFinalizers` installs."""
    platform = tenants.platform
    served = [one.namespace for one in (platform, tenants.team_a, tenants.team_b)]
    release = render(platform.cluster.facts.helm, {"watchNamespaces": served}, platform.namespace)
    wanted = [one for one in release.objects if one["metadata"]["name"].endswith("-finalizers")]
    assert [one["kind"] for one in wanted] == ["ClusterRole", "ClusterRoleBinding"]
    paths = [f"{RBAC}/{one['kind'].lower()}s" for one in wanted]
    for path, one in zip(paths, wanted, strict=True):
        platform.cluster.call("POST", path, one)
    user = f"system:serviceaccount:{platform.namespace}:{release.account}"
    what = {"group": "rbac.milvus.io", "resource": "milvususers", "namespace": "any"}
    platform.cluster.wait_until_allowed(user, verb="patch", **what)
    yield
    for path, one in zip(paths, wanted, strict=True):
        platform.cluster.call("DELETE", f"{path}/{one['metadata']['name']}")


def settle(team: Story, tenants: Tenants) -> tuple[str, str]:
    """A role and a user of a team, Ready; their names in Milvus."""
    role, user = team.unique("role"), team.unique("user")
    team.password("app", PASSWORD)
    team.role("reader", role, SEARCH, **tenants.connection)
    team.user("app", user, role, **tenants.connection)
    team.wait_ready("MilvusRole", "reader")
    team.wait_ready("MilvusUser", "app")
    return role, user


def must_be_served(team: Story, tenants: Tenants) -> None:
    """Something new of a team comes into force."""
    name = team.unique("later")
    team.role(name.replace("_", "-"), name, SEARCH, **tenants.connection)
    team.wait_ready("MilvusRole", name.replace("_", "-"))


def forbid(team: Story) -> Callable[[], None]:
    """Take the operator's rights in a namespace away; return what gives them back."""
    path = f"{RBAC}/namespaces/{team.namespace}/rolebindings"
    before = team.cluster.get(f"{path}/{NAME}")
    team.cluster.call("DELETE", f"{path}/{NAME}")
    same = {key: before[key] for key in ("roleRef", "subjects")}
    return lambda: team.cluster.call("POST", path, {"metadata": {"name": NAME}, **same}) and None


def is_gone(team: Story) -> bool:
    return team.cluster.get(f"/api/v1/namespaces/{team.namespace}") is None


@pytest.mark.usefixtures("may_release")
def test_a_namespace_goes_with_its_role_and_leaves_nothing_in_milvus(
    tenants: Tenants, admin: MilvusAdmin
) -> None:
    role, user = settle(tenants.team_b, tenants)
    tenants.team_b.cluster.delete_namespace(tenants.team_b.namespace)
    tenants.platform.wait(lambda: is_gone(tenants.team_b), "the end of the namespace", timeout=120)
    assert role not in admin.roles()
    assert user not in admin.users()
    must_be_served(tenants.team_a, tenants)


@pytest.mark.usefixtures("may_release")
def test_a_namespace_goes_though_the_operator_was_away_when_it_was_deleted(
    tenants: Tenants, admin: MilvusAdmin
) -> None:
    role, user = settle(tenants.team_b, tenants)
    tenants.platform.operator.kill()
    tenants.team_b.cluster.delete_namespace(tenants.team_b.namespace)
    bindings = f"{RBAC}/namespaces/{tenants.team_b.namespace}/rolebindings"
    tenants.platform.wait(lambda: not tenants.platform.cluster.get(bindings)["items"], "no binding left")
    tenants.start_operator()
    tenants.platform.wait(lambda: is_gone(tenants.team_b), "the end of the namespace", timeout=120)
    assert role not in admin.roles()
    assert user not in admin.users()
    must_be_served(tenants.team_a, tenants)


def test_a_namespace_that_hangs_goes_when_the_right_is_given(
    tenants: Tenants, admin: MilvusAdmin, request: pytest.FixtureRequest
) -> None:
    """The finalizer that could not be removed is tried again, within minutes and without any event."""
    team_b = tenants.team_b
    role, user = settle(team_b, tenants)
    mark = team_b.cluster.audit_mark()
    team_b.cluster.delete_namespace(team_b.namespace)

    def is_refused() -> bool:
        events = team_b.cluster.audit_events(mark)
        return any(
            one["verb"] == "patch"
            and one["responseStatus"]["code"] == 403
            and f"/{team_b.namespace}/" in one["requestURI"]
            for one in events
        )

    tenants.platform.wait(is_refused, "a refusal of the finalizer")
    assert not is_gone(team_b)
    request.getfixturevalue("may_release")
    tenants.platform.wait(lambda: is_gone(team_b), "the end of the namespace", timeout=180)
    assert role not in admin.roles()
    assert user not in admin.users()


def test_with_a_namespace_that_is_forbidden_from_the_start_the_others_are_served(tenants: Tenants) -> None:
    tenants.platform.operator.stop()
    team_a, team_b = tenants.team_a, tenants.team_b
    allow = forbid(team_b)
    tenants.start_operator()
    settle(team_a, tenants)
    assert tenants.platform.operator.get("/readyz")
    assert tenants.platform.operator.get("/healthz")
    assert f"secrets in {team_b.namespace} can't be watched" in tenants.platform.operator.output
    allow()
    settle(team_b, tenants)


def test_a_namespace_that_is_forbidden_meanwhile_keeps_what_it_has(
    tenants: Tenants, admin: MilvusAdmin
) -> None:
    team_a, team_b = tenants.team_a, tenants.team_b
    role, user = settle(team_b, tenants)
    allow = forbid(team_b)
    tenants.platform.api.break_connections()
    refusal = f"milvususers in {team_b.namespace} can't be watched"
    tenants.platform.wait(lambda: refusal in tenants.platform.operator.output, "the refusal")
    must_be_served(team_a, tenants)
    tenants.platform.reconcile("MilvusConnection", CONNECTION)
    must_be_served(team_a, tenants)
    assert role in admin.roles()
    assert user in admin.users()
    allow()
    must_be_served(team_b, tenants)
