"""Stories of connections: which server is meant, whose account is used, and what is said about both."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pymilvus.grpc_gen import milvus_pb2

from support.story import ADMIN_SECRET, CONNECTION, Story
from testbed.milvus import (
    DEFAULT_LIMITS,
    MUTUAL_TLS,
    NO_AUTHORIZATION,
    STANDARD,
    SUPERUSERS,
    TLS,
    TLS_NAME,
    MilvusFacts,
    MilvusServer,
    Profile,
)
from testbed.milvus_admin import Grant, MilvusAdmin
from testbed.milvus_forwarder import MilvusForwarder

SEARCH = {"privileges": ["Search"], "collections": ["orders"]}
STORED_SEARCH: Grant = ("Collection", "orders", "default", "Search")
STORED_INSERT: Grant = ("Collection", "orders", "default", "Insert")
PASSWORD, NEW_PASSWORD, NEW_ROOT = "Secret-1", "Secret-2", "New-root-1"

MilvusProfile = Callable[[Profile], MilvusFacts]
NEEDED: tuple[tuple[str, str], ...] = (
    ("Global", "CreateOwnership"),
    ("Global", "DropOwnership"),
    ("Global", "SelectOwnership"),
    ("Global", "ManageOwnership"),
    ("Global", "ListDatabases"),
    ("User", "SelectUser"),
    ("User", "UpdateUser"),
)


@contextmanager
def led_to(story: Story, port: int, *, parse: bool = True) -> Iterator[MilvusForwarder]:
    """Let the story be about another Milvus; its operators are gone when that is over."""
    with MilvusForwarder(port, parse=parse) as forwarder:
        story.milvus = forwarder
        yield forwarder
        for operator in story.operators:
            operator.kill()


def claim(story: Story, kind: str, name: str) -> dict[str, Any]:
    body = story.get(kind, name)
    assert body is not None
    found: dict[str, Any] = body["status"].get("claim", {})
    return found


def wait_moved(story: Story, kind: str, name: str, endpoint: str) -> None:
    """Wait until a claim is one on that server."""
    story.wait(
        lambda: claim(story, kind, name).get("endpoint") == endpoint, f"the claim of {name} is on {endpoint}"
    )


def _password_version(story: Story, name: str) -> str | None:
    """The version of the Secret that a user's status says is in force."""
    found: str | None = (
        (story.get("MilvusUser", name) or {})["status"].get("password", {}).get("secretResourceVersion")
    )
    return found


def warnings(story: Story) -> list[str]:
    body = story.get("MilvusConnection", CONNECTION)
    assert body is not None
    return [one["message"] for one in body["status"].get("warnings", [])]


# --- what is said about a server


def test_a_connection_says_which_server_answered_and_who_uses_it(story: Story) -> None:
    user, role = story.unique("user"), story.unique("role")
    story.password("app", PASSWORD)
    story.role("reader", role)
    story.user("app", user, role)
    story.wait_ready("MilvusUser", "app")
    status = story.wait_ready("MilvusConnection", CONNECTION)["status"]
    assert status["server"]["endpoint"] == story.milvus.address
    assert status["server"]["version"].removeprefix("v").startswith("2.3.5")
    assert status["server"]["dialect"] == "V1"
    story.wait(
        lambda: counts(story) == (1, 1, 2),
        "the claims are counted",
        see=lambda: story.get("MilvusConnection", CONNECTION),
    )


def counts(story: Story) -> tuple[int, int, int]:
    status = (story.get("MilvusConnection", CONNECTION) or {})["status"]
    return status["userCount"], status["roleCount"], status["claimCount"]


def test_the_password_that_every_milvus_starts_with_is_a_warning(story: Story) -> None:
    story.wait_ready("MilvusConnection", CONNECTION)
    (warning,) = (one for one in warnings(story) if "root" in one)
    assert "spec.bootstrap" in warning


def test_bootstrap_gives_root_of_a_fresh_server_the_secrets_password(
    stage: Story, fresh_milvus: Callable[[Profile], MilvusServer]
) -> None:
    server = fresh_milvus(STANDARD)
    with led_to(stage, server.port), server.admin("root", NEW_ROOT) as admin:
        stage.connection(password=NEW_ROOT, bootstrap=True)
        stage.start_operator()
        stage.wait_ready("MilvusConnection", CONNECTION)
        assert admin.login_works("root", NEW_ROOT)
        assert not admin.login_works("root", "Milvus")
        assert not any("root" in one for one in warnings(stage))
        role = stage.unique("role")
        stage.role("reader", role)
        stage.wait_ready("MilvusRole", "reader")
        assert stage.written == ["UpdateCredential", "CreateRole"]


def test_who_only_observes_does_not_bootstrap(
    stage: Story, fresh_milvus: Callable[[Profile], MilvusServer]
) -> None:
    server = fresh_milvus(STANDARD)
    with led_to(stage, server.port), server.admin() as admin:
        stage.connection(password=NEW_ROOT, bootstrap=True, mode="Observe")
        stage.start_operator()
        stage.wait_reason("MilvusConnection", CONNECTION, "CredentialsRejected")
        assert stage.written == []
        assert admin.login_works("root", "Milvus")


def test_without_bootstrap_roots_password_is_left_alone(stage: Story, admin: MilvusAdmin) -> None:
    stage.connection(password=NEW_ROOT)
    stage.start_operator()
    condition = stage.wait_reason("MilvusConnection", CONNECTION, "CredentialsRejected")
    assert "spec.credentialsSecretRef" in condition["message"]
    assert stage.written == []
    assert admin.login_works("root", "Milvus")


def test_bootstrap_is_for_root_only(stage: Story, admin: MilvusAdmin) -> None:
    user = stage.unique("user")
    stage.secret(ADMIN_SECRET, {"username": user, "password": PASSWORD})
    stage.connection(password=None, bootstrap=True)
    stage.start_operator()
    condition = stage.wait_reason("MilvusConnection", CONNECTION, "CredentialsRejected")
    assert "root only" in condition["message"]
    assert stage.written == []
    assert admin.login_works("root", "Milvus")


def test_with_authorization_off_no_account_is_ready_and_roles_are(
    stage: Story, milvus_profile: MilvusProfile
) -> None:
    facts = milvus_profile(NO_AUTHORIZATION)
    with led_to(stage, facts.port), facts.admin() as admin:
        role, user = stage.unique("role"), stage.unique("user")
        stage.connection()
        stage.password("app", PASSWORD)
        stage.role("reader", role, SEARCH)
        stage.user("app", user, role)
        stage.start_operator()
        stage.wait_ready("MilvusRole", "reader")
        for kind, name, type_ in (
            ("MilvusConnection", CONNECTION, "Ready"),
            ("MilvusUser", "app", "Ready"),
            ("MilvusUser", "app", "PasswordSynced"),
        ):
            condition = stage.wait_reason(kind, name, "AuthorizationOff", type_=type_)
            assert condition["status"] == "False"
            assert "common.security.authorizationEnabled" in condition["message"]
        assert admin.grants(role) == {STORED_SEARCH}
        assert admin.members()[role] == {user}
        # Nobody can try a password here, so a new version of the Secret is written, once.
        before = len(stage.written)
        stage.password("app", NEW_PASSWORD)
        version = stage.cluster.get(f"/api/v1/namespaces/{stage.namespace}/secrets/app")["metadata"]
        stage.wait(
            lambda: _password_version(stage, "app") == version["resourceVersion"], "the rotation is noted"
        )
        assert stage.written[before:] == ["UpdateCredential"]
        admin.update_password(user, NEW_PASSWORD, PASSWORD)  # it refuses a wrong old one
        stage.delete("MilvusUser", "app")
        stage.delete("MilvusRole", "reader")
        stage.wait_gone("MilvusUser", "app")
        stage.wait_gone("MilvusRole", "reader")
        assert user not in admin.users()
        assert role not in admin.roles()


def test_with_authorization_off_nothing_is_taken_over(stage: Story, milvus_profile: MilvusProfile) -> None:
    facts = milvus_profile(NO_AUTHORIZATION)
    with led_to(stage, facts.port), facts.admin() as admin:
        user = stage.unique("user")
        admin.create_user(user, PASSWORD)
        stage.connection()
        stage.password("app", PASSWORD)
        stage.user("app", user, adoption="Always")
        stage.start_operator()
        stage.wait_reason("MilvusUser", "app", "Conflict")
        assert stage.written == []
        admin.delete_user(user)


def test_a_ninth_role_says_which_limit_to_raise_and_is_made_when_there_is_room(
    stage: Story, fresh_milvus: Callable[[Profile], MilvusServer]
) -> None:
    server = fresh_milvus(DEFAULT_LIMITS)
    with led_to(stage, server.port), server.admin() as admin:
        stage.connection()
        stage.start_operator()
        # Ten are allowed, and admin and public are two of them.
        names = [f"role-{number}" for number in range(8)]
        for name in names:
            stage.role(name, stage.unique("role"))
        for name in names:
            stage.wait_ready("MilvusRole", name)
        ninth = stage.unique("role")
        stage.role("ninth", ninth)
        condition = stage.wait_reason("MilvusRole", "ninth", "LimitReached")
        assert "proxy.maxRoleNum" in condition["message"]
        assert ninth not in admin.roles()
        stage.delete("MilvusRole", names[0])
        stage.wait_gone("MilvusRole", names[0])
        body = stage.wait_ready("MilvusRole", "ninth")
        assert body["status"]["claim"]["origin"] == "Created"
        assert ninth in admin.roles()


# --- whose account


@contextmanager
def account(admin: MilvusAdmin, story: Story, *privileges: tuple[str, str]) -> Iterator[str]:
    """A user with these privileges on all databases, for the operator to work with."""
    user, role = story.unique("operator"), story.unique("operators")
    admin.create_user(user, PASSWORD)
    admin.create_role(role)
    for object_type, privilege in privileges:
        admin.grant(role, object_type, "*", privilege, database="*")
    admin.bind(user, role)
    story.secret(ADMIN_SECRET, {"username": user, "password": PASSWORD})
    yield user
    for operator in story.operators:
        operator.kill()
    admin.delete_user(user)
    for object_type, privilege in privileges:
        admin.revoke(role, object_type, "*", privilege, database="*")
    admin.drop_role(role)


def test_an_account_without_privileges_is_told_all_that_it_lacks(stage: Story, admin: MilvusAdmin) -> None:
    with account(admin, stage):
        stage.connection(password=None)
        stage.start_operator()
        condition = stage.wait_reason("MilvusConnection", CONNECTION, "MissingPrivileges")
        for _, privilege in NEEDED:
            assert privilege in condition["message"]


def test_what_the_account_lacks_is_still_all_named_when_resources_wait_for_it(
    stage: Story, admin: MilvusAdmin
) -> None:
    with account(admin, stage):
        stage.connection(password=None)
        stage.role("reader", stage.unique("role"), SEARCH)
        stage.start_operator()
        stage.wait_reason("MilvusRole", "reader", "WaitingForConnection")
        condition = stage.wait_reason("MilvusConnection", CONNECTION, "MissingPrivileges")
        for _, privilege in NEEDED:
            assert privilege in condition["message"]


def test_an_account_that_lacks_some_privileges_is_told_those_only(stage: Story, admin: MilvusAdmin) -> None:
    held = [one for one in NEEDED if one[1] not in {"ManageOwnership", "UpdateUser"}]
    with account(admin, stage, *held):
        stage.connection(password=None)
        stage.start_operator()
        message = stage.wait_reason("MilvusConnection", CONNECTION, "MissingPrivileges")["message"]
        assert "ManageOwnership" in message
        assert "UpdateUser" in message
        for _, privilege in held:
            assert privilege not in message


def test_an_account_with_just_the_needed_privileges_does_everything(stage: Story, admin: MilvusAdmin) -> None:
    with account(admin, stage, *NEEDED):
        role, user = stage.unique("role"), stage.unique("user")
        stage.connection(password=None)
        stage.password("app", PASSWORD)
        stage.role("reader", role, SEARCH)
        stage.user("app", user, role)
        stage.start_operator()
        stage.wait_ready("MilvusConnection", CONNECTION)
        stage.wait_ready("MilvusRole", "reader")
        stage.wait_ready("MilvusUser", "app")
        stage.password("app", "Secret-2")
        stage.wait(lambda: admin.login_works(user, "Secret-2"), "the new password is in force")
        stage.delete("MilvusUser", "app")
        stage.delete("MilvusRole", "reader")
        stage.wait_gone("MilvusUser", "app")
        stage.wait_gone("MilvusRole", "reader")
        assert user not in admin.users()
        assert role not in admin.roles()


def test_the_account_that_the_operator_works_with_can_not_be_claimed(
    stage: Story, admin: MilvusAdmin
) -> None:
    with account(admin, stage, *NEEDED) as own:
        stage.connection(password=None)
        stage.password("app", "Secret-2")
        stage.user("app", own, adoption="Always")
        stage.start_operator()
        condition = stage.wait_reason("MilvusUser", "app", "ReservedName")
        assert own in condition["message"]
        assert stage.written == []
        assert admin.login_works(own, PASSWORD)


def test_a_user_that_became_the_operators_account_is_not_dropped_with_its_resource(
    story: Story, admin: MilvusAdmin
) -> None:
    user = story.unique("ops")
    story.password("ops", PASSWORD)
    story.user("ops", user, "admin")
    story.wait_ready("MilvusUser", "ops")
    story.secret(ADMIN_SECRET, {"username": user, "password": PASSWORD})
    story.wait_reason("MilvusUser", "ops", "ReservedName")
    story.delete("MilvusUser", "ops")
    story.wait_gone("MilvusUser", "ops")
    story.wait_event(CONNECTION, f"User {user} was left")
    assert admin.login_works(user, PASSWORD)
    story.secret(ADMIN_SECRET, {"username": "root", "password": "Milvus"})
    story.wait_ready("MilvusConnection", CONNECTION)
    admin.delete_user(user)


def test_a_new_password_of_the_operators_account_is_used_at_once(stage: Story, admin: MilvusAdmin) -> None:
    with account(admin, stage, *NEEDED) as own:
        stage.connection(password=None)
        stage.start_operator()
        stage.wait_ready("MilvusConnection", CONNECTION)
        admin.update_password(own, PASSWORD, "Secret-2")
        stage.secret(ADMIN_SECRET, {"username": own, "password": "Secret-2"})
        role = stage.unique("role")
        stage.role("reader", role)
        stage.wait_ready("MilvusRole", "reader")
        stage.wait_ready("MilvusConnection", CONNECTION)
        assert role in admin.roles()


# --- milvusRef


def test_a_milvus_of_milvus_operator_is_found_by_its_name(stage: Story, milvus: MilvusFacts) -> None:
    names = {"plural": "milvuses", "singular": "milvus", "kind": "Milvus"}
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1beta1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "milvuses.milvus.io"},
        "spec": {"group": "milvus.io", "scope": "Namespaced", "names": names, "versions": [version]},
    }
    stage.secret("milvus-admin", {"username": "root", "password": "Milvus"})
    spec = {"milvusRef": {"name": "mine"}, "credentialsSecretRef": {"name": "milvus-admin"}}
    stage.apply("MilvusConnection", CONNECTION, spec)
    role = stage.unique("role")
    stage.role("reader", role)
    stage.start_operator()
    missing = stage.wait_reason("MilvusConnection", CONNECTION, "Unreachable")
    assert "spec.milvusRef" in missing["message"]
    stage.cluster.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
    path = f"/apis/milvus.io/v1beta1/namespaces/{stage.namespace}/milvuses"
    stage.wait(lambda: stage.cluster.api("GET", path)[0] == 200, "the kind served")
    body = {"apiVersion": "milvus.io/v1beta1", "kind": "Milvus", "metadata": {"name": "mine"}}
    stage.cluster.call("POST", path, body)
    stage.reconcile("MilvusConnection", CONNECTION)
    stage.wait(
        lambda: (
            "no status.endpoint" in (stage.condition("MilvusConnection", CONNECTION) or {}).get("message", "")
        ),
        "it says that nobody knows where",
    )
    stage.cluster.patch(f"{path}/mine", {"status": {"endpoint": stage.milvus.address}})
    stage.wait_ready("MilvusRole", "reader")
    status = stage.wait_ready("MilvusConnection", CONNECTION)["status"]
    assert status["server"]["endpoint"] == stage.milvus.address
    # An operator that starts anew knows its own, whether the Milvus can be looked up or not.
    stage.operator.kill()
    stage.cluster.call("DELETE", f"{path}/mine")
    stage.start_operator()
    stage.wait_reason("MilvusConnection", CONNECTION, "Unreachable")
    stage.delete("MilvusConnection", CONNECTION)
    stage.delete("MilvusRole", "reader")
    stage.wait_gone("MilvusRole", "reader")
    stage.wait_gone("MilvusConnection", CONNECTION)
    with milvus.admin() as admin:
        assert role not in admin.roles()


# --- TLS


def test_a_server_that_asks_for_a_certificate_is_shown_the_secrets(
    stage: Story, fresh_milvus: Callable[[Profile], MilvusServer]
) -> None:
    server = fresh_milvus(MUTUAL_TLS)
    assert server.ca_pem is not None
    assert server.facts.client is not None
    chain, key = server.facts.client
    with MilvusForwarder(server.port, parse=False) as forwarder:
        uri = f"https://{forwarder.address}"
        stage.secret("ca", {"ca.crt": server.ca_pem})
        stage.connection(uri=uri, tls={"caSecretRef": {"name": "ca"}})
        stage.start_operator()
        refused = stage.wait_reason("MilvusConnection", CONNECTION, "TLSMismatch")
        assert "spec.tls.clientCertSecretRef" in refused["message"]
        stage.connection(uri=uri, tls={"caSecretRef": {"name": "ca"}, "clientCertSecretRef": {"name": "own"}})
        waiting = stage.wait_reason("MilvusConnection", CONNECTION, "WaitingForSecret")
        assert "spec.tls.clientCertSecretRef" in waiting["message"]
        stage.secret("own", {"tls.crt": chain})
        missing = stage.wait_reason("MilvusConnection", CONNECTION, "SecretKeyMissing")
        assert "tls.key" in missing["message"]
        stage.secret("own", {"tls.crt": chain, "tls.key": key})
        stage.wait_ready("MilvusConnection", CONNECTION)
        role = stage.unique("role")
        stage.role("reader", role)
        stage.wait_ready("MilvusRole", "reader")
    assert key.decode().splitlines()[1] not in stage.operator.output


@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
def test_a_server_with_tls_is_trusted_by_the_ca_of_the_spec(
    stage: Story, milvus_profile: MilvusProfile, kind: str
) -> None:
    facts = milvus_profile(TLS)
    assert facts.ca_pem is not None
    with led_to(stage, facts.port, parse=False) as forwarder, facts.admin() as admin:
        if kind == "Secret":
            stage.secret("ca", {"ca.crt": facts.ca_pem})
            tls = {"caSecretRef": {"name": "ca"}}
        else:
            config = {"metadata": {"name": "ca"}, "data": {"bundle.pem": facts.ca_pem.decode()}}
            stage.cluster.call("POST", f"/api/v1/namespaces/{stage.namespace}/configmaps", config)
            tls = {"caConfigMapRef": {"name": "ca", "key": "bundle.pem"}}
        stage.connection(uri=f"https://{forwarder.address}", tls=tls)
        user = stage.unique("user")
        stage.password("app", PASSWORD)
        stage.user("app", user)
        stage.start_operator()
        stage.wait_ready("MilvusConnection", CONNECTION)
        stage.wait_ready("MilvusUser", "app")
        assert admin.login_works(user, PASSWORD)


def test_the_servers_certificate_may_be_for_the_name_in_the_spec(
    stage: Story, milvus_profile: MilvusProfile
) -> None:
    facts = milvus_profile(TLS)
    assert facts.ca_pem is not None
    with led_to(stage, facts.port, parse=False) as forwarder:
        stage.secret("ca", {"ca.crt": facts.ca_pem})
        tls = {"caSecretRef": {"name": "ca"}}
        uri = f"https://{forwarder.address}"
        stage.connection(uri=uri, tls={**tls, "serverName": "somebody.else"})
        stage.start_operator()
        condition = stage.wait_reason("MilvusConnection", CONNECTION, "TLSMismatch")
        assert "spec.tls.serverName" in condition["message"]
        stage.connection(uri=uri, tls={**tls, "serverName": TLS_NAME})
        stage.wait_ready("MilvusConnection", CONNECTION)


def test_a_ca_that_comes_later_is_used_at_once(stage: Story, milvus_profile: MilvusProfile) -> None:
    facts = milvus_profile(TLS)
    assert facts.ca_pem is not None
    with led_to(stage, facts.port, parse=False) as forwarder:
        stage.connection(uri=f"https://{forwarder.address}", tls={"caSecretRef": {"name": "ca"}})
        stage.start_operator()
        condition = stage.wait_reason("MilvusConnection", CONNECTION, "WaitingForSecret")
        assert "spec.tls.caSecretRef" in condition["message"]
        stage.secret("ca", {"ca.crt": facts.ca_pem})
        stage.wait_ready("MilvusConnection", CONNECTION)


# --- which connection


def test_a_connection_of_another_namespace_is_not_permitted(story: Story, admin: MilvusAdmin) -> None:
    role = story.unique("role")
    story.role("reader", role, connectionRef={"name": CONNECTION, "namespace": "somewhere-else"})
    condition = story.wait_reason("MilvusRole", "reader", "NotPermitted")
    assert "spec.connectionRef" in condition["message"]
    assert role not in admin.roles()
    story.delete("MilvusRole", "reader")
    story.wait_gone("MilvusRole", "reader")


def test_without_a_connection_ref_and_without_a_default_nothing_is_done(story: Story) -> None:
    spec = {"roleName": story.unique("role"), "grants": []}
    story.apply("MilvusRole", "reader", spec)
    condition = story.wait_reason("MilvusRole", "reader", "NoDefaultConnection")
    assert "spec.connectionRef" in condition["message"]
    assert story.written == []
    story.delete("MilvusRole", "reader")
    story.wait_gone("MilvusRole", "reader")


def test_the_default_connection_serves_who_names_none(stage: Story, admin: MilvusAdmin) -> None:
    role, user = stage.unique("role"), stage.unique("user")
    stage.connection()
    stage.start_operator(default_connection=f"{stage.namespace}/{CONNECTION}")
    stage.password("app", PASSWORD)
    stage.apply("MilvusRole", "reader", {"roleName": role, "grants": []})
    stage.apply(
        "MilvusUser", "app", {"userName": user, "passwordSecretRef": {"name": "app"}, "roles": [role]}
    )
    stage.wait_ready("MilvusRole", "reader")
    stage.wait_ready("MilvusUser", "app")
    assert admin.members()[role] == {user}
    stage.delete("MilvusRole", "reader")
    stage.wait_gone("MilvusRole", "reader")
    assert role not in admin.roles()


def test_resources_wait_for_their_connection_and_are_served_when_it_comes(
    stage: Story, admin: MilvusAdmin
) -> None:
    role = stage.unique("role")
    stage.start_operator()
    stage.role("reader", role)
    condition = stage.wait_reason("MilvusRole", "reader", "WaitingForConnection")
    assert CONNECTION in condition["message"]
    stage.connection()
    stage.wait_ready("MilvusRole", "reader")
    assert role in admin.roles()


@pytest.mark.parametrize(
    ("setting", "value"),
    [("connection_namespaces", "somewhere-else"), ("allowed_endpoints", "*.example.com:19530")],
)
def test_a_connection_that_the_operators_settings_forbid_is_never_called(
    stage: Story, setting: str, value: str
) -> None:
    stage.connection()
    stage.role("reader", stage.unique("role"))
    stage.start_operator(**{setting: value})
    condition = stage.wait_reason("MilvusConnection", CONNECTION, "NotPermitted")
    assert f"MILVUS_RBAC_{setting.upper()}" in condition["message"]
    stage.wait_reason("MilvusRole", "reader", "WaitingForConnection")
    assert stage.milvus.calls == []


# --- one connection per endpoint


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("http://127.0.0.1:{port}", "http://127.0.0.1:{port}", id="same"),
        pytest.param("http://127.0.0.1:{port}", "https://127.0.0.1:{port}", id="scheme"),
        pytest.param("http://localhost:{port}", "http://LOCALHOST:{port}", id="upper-case"),
        pytest.param("http://localhost:{port}", "http://localhost:{port}/", id="slash"),
    ],
)
def test_a_second_connection_to_the_same_server_is_a_conflict_until_the_first_is_deleted(
    story: Story, first: str, second: str
) -> None:
    port = story.milvus.port
    story.connection(uri=first.format(port=port))
    story.wait_ready("MilvusConnection", CONNECTION)
    story.wait_until_older("MilvusConnection", CONNECTION)
    story.connection("again", uri=second.format(port=port))
    condition = story.wait_reason("MilvusConnection", "again", "Conflict")
    assert f"MilvusConnection {CONNECTION}" in condition["message"]
    role = story.unique("role")
    story.role("reader", role, connectionRef={"name": "again"})
    story.wait_reason("MilvusRole", "reader", "WaitingForConnection")
    assert story.written == []
    story.wait_ready("MilvusConnection", CONNECTION)
    story.connection("again", uri=first.format(port=port))
    story.delete("MilvusConnection", CONNECTION)
    story.wait_gone("MilvusConnection", CONNECTION)
    story.wait_ready("MilvusConnection", "again")
    story.wait_ready("MilvusRole", "reader")


def test_another_port_is_another_server(story: Story, milvus: MilvusFacts) -> None:
    with MilvusForwarder(milvus.port) as forwarder:
        story.connection("other", uri=forwarder.uri)
        story.wait_ready("MilvusConnection", "other")
        story.wait_ready("MilvusConnection", CONNECTION)
        story.operator.kill()


def test_with_former_uris_a_server_that_moved_keeps_its_claims(
    story: Story, milvus: MilvusFacts, admin: MilvusAdmin
) -> None:
    role, user = story.unique("role"), story.unique("user")
    story.password("app", PASSWORD)
    story.role("reader", role, SEARCH)
    story.user("app", user, role)
    story.wait_ready("MilvusRole", "reader")
    story.wait_ready("MilvusUser", "app")
    with MilvusForwarder(milvus.port) as forwarder:
        story.connection(uri=forwarder.uri, formerUris=[story.milvus.uri])
        for kind, name in (("MilvusRole", "reader"), ("MilvusUser", "app")):
            wait_moved(story, kind, name, forwarder.address)
            assert claim(story, kind, name)["origin"] == "Created"
            story.wait_ready(kind, name)
        assert forwarder.writes() == []
        story.delete("MilvusUser", "app")
        story.delete("MilvusRole", "reader")
        story.wait_gone("MilvusUser", "app")
        story.wait_gone("MilvusRole", "reader")
        story.operator.kill()
    assert user not in admin.users()
    assert role not in admin.roles()


def test_without_former_uris_claims_on_another_server_are_void(
    story: Story, milvus_profile: MilvusProfile
) -> None:
    role = story.unique("role")
    story.role("reader", role, SEARCH)
    story.wait_ready("MilvusRole", "reader")
    other = milvus_profile(SUPERUSERS)
    with other.admin() as admin, MilvusForwarder(other.port) as forwarder:
        # A role of the same name that somebody made there, and that allows more than the resource says.
        admin.create_role(role)
        for _, _, _, privilege in (STORED_SEARCH, STORED_INSERT):
            admin.grant(role, "Collection", "orders", privilege)
        story.connection(uri=forwarder.uri)
        story.wait_reason("MilvusRole", "reader", "Conflict")
        story.delete("MilvusRole", "reader")
        story.wait_gone("MilvusRole", "reader")
        assert admin.grants(role) == {STORED_SEARCH, STORED_INSERT}
        assert forwarder.writes() == []
        story.operator.kill()


def test_a_uri_corrected_to_another_server_makes_everything_there(
    story: Story, admin: MilvusAdmin, milvus_profile: MilvusProfile
) -> None:
    role, user = story.unique("role"), story.unique("user")
    story.password("app", PASSWORD)
    story.role("reader", role, SEARCH)
    story.user("app", user, role)
    story.wait_ready("MilvusUser", "app")
    other = milvus_profile(SUPERUSERS)
    with other.admin() as there, MilvusForwarder(other.port) as forwarder:
        story.connection(uri=forwarder.uri)
        story.wait(lambda: claim(story, "MilvusUser", "app").get("endpoint") == forwarder.address, "it moved")
        story.wait(lambda: user in there.members().get(role, set()), "the binding is there too")
        assert there.login_works(user, PASSWORD)
        assert admin.login_works(user, PASSWORD)
        story.operator.kill()


def test_two_connections_serve_two_servers_side_by_side(
    story: Story, admin: MilvusAdmin, milvus_profile: MilvusProfile
) -> None:
    name = story.unique("role")
    other = milvus_profile(SUPERUSERS)
    with other.admin() as there, MilvusForwarder(other.port) as forwarder:
        story.connection("other", uri=forwarder.uri)
        story.role("here", name, SEARCH)
        story.role("there", name, connectionRef={"name": "other"})
        story.wait_ready("MilvusRole", "here")
        story.wait_ready("MilvusRole", "there")
        assert admin.grants(name) == {STORED_SEARCH}
        assert there.grants(name) == set()
        story.operator.kill()


def test_a_database_made_later_is_granted_on_beforehand(story: Story, admin: MilvusAdmin) -> None:
    """Milvus 2.3 grants on databases that are not there; the row holds nothing else back."""
    role, database = story.unique("role"), story.unique("db")
    story.role("reader", role, {"privileges": ["Search"], "database": database, "collections": ["*"]}, SEARCH)
    story.wait_ready("MilvusRole", "reader")
    admin.rpc("CreateDatabase", milvus_pb2.CreateDatabaseRequest(db_name=database))
    assert ("Collection", "*", database, "Search") in admin.grants(role)
    admin.drop_database(database)
