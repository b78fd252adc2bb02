"""Whatever is wrong is said where it is wrong, costs nobody else anything, and heals when it is put right."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import pytest

from support.neighbour import Neighbour
from support.passwords import fresh_password
from support.quiet import watch_for
from support.story import CONNECTION, Story
from testbed.milvus import SHORT_LIMITS, TLS, MilvusFacts, Profile
from testbed.milvus_admin import MilvusAdmin
from testbed.milvus_forwarder import MilvusForwarder
from testbed.processes import free_port, release_port

SHORT = "abcde"
QUERY = {"privileges": ["Query"], "collections": ["*"]}


@pytest.fixture
def neighbour(story: Story, admin: MilvusAdmin) -> Neighbour:
    """Somebody whom the trouble must not concern."""
    return Neighbour(story, admin)


def _must_say(condition: dict[str, Any], *words: str) -> None:
    assert condition["status"] == "False"
    for word in words:
        assert word in condition["message"], condition


# --- Secrets


class BadSecret(NamedTuple):
    """A Secret's data that is no password, and what is said about it."""

    data: dict[str, str | bytes]
    reason: str
    words: tuple[str, ...]


BAD_SECRETS = {
    "key-missing": BadSecret({"other": "x" * 20}, "SecretKeyMissing", ("no key password", "add it")),
    "empty": BadSecret({"password": ""}, "SecretEmpty", ("is empty",)),
    "not-utf8": BadSecret({"password": b"\xff\xfe1234567"}, "SecretNotUTF8", ("not UTF-8",)),
    "newline": BadSecret({"password": "long enough\n"}, "SecretTrailingNewline", ("line break", "echo -n")),
    "return": BadSecret({"password": "long enough\r\n"}, "SecretTrailingNewline", ("line break",)),
    "short": BadSecret({"password": SHORT}, "PasswordTooShort", ("shorter than 6 bytes",)),
    "long": BadSecret({"password": "é" * 37}, "PasswordTooLong", ("longer than 72 bytes",)),
}


def test_a_secret_that_holds_no_password_is_named_and_heals(
    story: Story, admin: MilvusAdmin, neighbour: Neighbour
) -> None:
    for name, bad in BAD_SECRETS.items():
        story.secret(name, bad.data)
        story.user(name, story.unique("u"))
    for name, bad in BAD_SECRETS.items():
        condition = story.wait_reason("MilvusUser", name, bad.reason)
        _must_say(condition, f"Secret {story.namespace}/{name}", *bad.words)
        assert (story.condition("MilvusUser", name, "Stalled") or {}).get("status") == "True"
    neighbour.must_be_served()
    assert not {user for user in admin.users() if user.startswith(f"u_{story.unique.token}")}

    good = {name: fresh_password() for name in BAD_SECRETS}
    for name, password in good.items():
        story.password(name, password)
    for name, password in good.items():
        body = story.wait_ready("MilvusUser", name)
        assert admin.login_works(body["spec"]["userName"], password)
        assert story.condition("MilvusUser", name, "Stalled") is None


@pytest.mark.parametrize("password", ["x" * 6, "é" * 36, " spaces around "], ids=["6", "72", "spaces"])
def test_a_password_at_the_edge_is_taken_as_it_is(story: Story, admin: MilvusAdmin, password: str) -> None:
    name = story.unique("u")
    story.password("app", password)
    story.user("app", name)
    story.wait_ready("MilvusUser", "app")
    assert admin.login_works(name, password)


def test_a_user_waits_for_its_secret_and_heals_when_it_comes(
    story: Story, admin: MilvusAdmin, neighbour: Neighbour
) -> None:
    name, password = story.unique("u"), fresh_password()
    story.user("app", name)
    condition = story.wait_reason("MilvusUser", "app", "WaitingForSecret")
    _must_say(condition, f"Secret {story.namespace}/app", "create it", "password")
    assert (story.condition("MilvusUser", "app", "Reconciling") or {}).get("status") == "True"
    neighbour.must_be_served()
    assert name not in admin.users()
    story.password("app", password)
    story.wait_ready("MilvusUser", "app")
    assert admin.login_works(name, password)


def test_a_secret_that_goes_bad_leaves_the_user_as_it_was(
    story: Story, admin: MilvusAdmin, neighbour: Neighbour
) -> None:
    name, role, password = story.unique("u"), story.unique("r"), fresh_password()
    story.role("app", role)
    story.password("app", password)
    story.user("app", name)
    story.wait_ready("MilvusUser", "app")
    story.password("app", SHORT)
    story.wait_reason("MilvusUser", "app", "PasswordTooShort")
    condition = story.wait_reason("MilvusUser", "app", "PasswordTooShort", type_="PasswordSynced")
    _must_say(condition, f"Secret {story.namespace}/app")
    assert admin.login_works(name, password)
    # What the password has nothing to do with goes on.
    story.user("app", name, role)
    story.wait(lambda: name in admin.members()[role], "the binding is made with a bad Secret")
    neighbour.must_be_served()

    other = fresh_password()
    story.password("app", other)
    story.wait_ready("MilvusUser", "app")
    assert admin.login_works(name, other)


def test_a_secret_that_goes_away_leaves_the_user_as_it_was(
    story: Story, admin: MilvusAdmin, neighbour: Neighbour
) -> None:
    name, password, other = story.unique("u"), fresh_password(), fresh_password()
    story.password("app", password)
    story.user("app", name)
    story.wait_ready("MilvusUser", "app")
    story.delete_secret("app")
    story.wait_reason("MilvusUser", "app", "WaitingForSecret")
    assert admin.login_works(name, password)
    neighbour.must_be_served()
    story.password("app", other)
    story.wait_ready("MilvusUser", "app")
    story.wait(lambda: admin.login_works(name, other), "the password of the new Secret is in force")


# --- grants


class BadRow(NamedTuple):
    """A row of spec.grants that can't be, and what is said about it."""

    row: dict[str, Any]
    reason: str
    words: tuple[str, ...]


BAD_ROWS = {
    "typo": BadRow(
        {"privileges": ["Serch"], "collections": ["*"]}, "UnknownPrivilege", ("Serch", "write Search")
    ),
    "prefix": BadRow(
        {"privileges": ["PrivilegeInsert"], "collections": ["*"]}, "UnknownPrivilege", ("write Insert",)
    ),
    "case": BadRow({"privileges": ["createindex"]}, "UnknownPrivilege", ("write CreateIndex",)),
    "nonsense": BadRow(
        {"privileges": ["Xyzzy"]}, "UnknownPrivilege", ("no privilege Xyzzy", "documentation of MilvusRole")
    ),
    "cluster": BadRow(
        {"privileges": ["CreateOwnership"], "collections": ["c"]},
        "InvalidScope",
        ("CreateOwnership", "without database and collections"),
    ),
    "cluster-in-database": BadRow(
        {"privileges": ["SelectUser"], "database": "default"}, "InvalidScope", ("SelectUser",)
    ),
    "database": BadRow(
        {"privileges": ["CreateCollection"], "collections": ["c"]}, "InvalidScope", ("without collections",)
    ),
    "describe": BadRow(
        {"privileges": ["DescribeCollection"], "collections": ["c"]},
        "InvalidScope",
        ("DescribeCollection", "whole database"),
    ),
    "no-collections": BadRow(
        {"privileges": ["Search"]},
        "InvalidScope",
        ("Search acts on collections", 'write ["*"] for all of them'),
    ),
    "all": BadRow({"privileges": ["All"]}, "InvalidScope", ("All gives everything",)),
    "group": BadRow(
        {"privileges": ["CollectionReadOnly"], "collections": ["*"]},
        "UnsupportedByServer",
        ("Milvus 2.4.18",),
    ),
    "too-new": BadRow(
        {"privileges": ["GetImportProgress"], "collections": ["*"]}, "UnsupportedByServer", ("Milvus 2.6",)
    ),
}


def test_a_row_that_can_not_be_granted_is_named_and_the_others_are_granted(
    story: Story, admin: MilvusAdmin, neighbour: Neighbour
) -> None:
    for name, bad in BAD_ROWS.items():
        story.role(name, story.unique("r"), QUERY, bad.row)
    for name, bad in BAD_ROWS.items():
        condition = story.wait_reason("MilvusRole", name, bad.reason)
        _must_say(condition, "spec.grants[1]", *bad.words)
        role = (story.get("MilvusRole", name) or {})["spec"]["roleName"]
        assert _privileges(admin, role) == {"Query"}
    neighbour.must_be_served()

    for name in BAD_ROWS:
        story.patch(
            "MilvusRole",
            name,
            {"spec": {"grants": [QUERY, {"privileges": ["Search"], "collections": ["*"]}]}},
        )
    for name in BAD_ROWS:
        body = story.wait_ready("MilvusRole", name)
        assert _privileges(admin, body["spec"]["roleName"]) == {"Query", "Search"}


def test_a_row_that_becomes_wrong_takes_nothing_away_until_it_is_mended(
    story: Story, admin: MilvusAdmin
) -> None:
    name = story.unique("r")
    story.role("app", name, {"privileges": ["Query", "Insert"], "collections": ["*"]})
    story.wait_ready("MilvusRole", "app")
    story.role("app", name, {"privileges": ["Query", "Serch"], "collections": ["*"]})
    condition = story.wait_reason("MilvusRole", "app", "UnknownPrivilege")
    _must_say(condition, "write Search", "Until that is mended, the role keeps", "Insert on default")
    assert _privileges(admin, name) == {"Query", "Insert"}
    story.role("app", name, {"privileges": ["Query", "Search"], "collections": ["*"]})
    story.wait_ready("MilvusRole", "app")
    assert _privileges(admin, name) == {"Query", "Search"}


def test_a_role_that_is_not_there_takes_none_from_its_user(story: Story, admin: MilvusAdmin) -> None:
    name, mover, late = story.unique("u"), story.unique("r"), story.unique("r")
    story.password("app", fresh_password())
    story.role("mover", mover, QUERY)
    story.user("app", name, mover)
    story.wait_ready("MilvusUser", "app")
    story.user("app", name, late)
    condition = story.wait_reason("MilvusUser", "app", "WaitingForRole")
    _must_say(condition, "Until that is mended, the user keeps", mover)
    assert _roles_of(admin, name) == {mover}
    story.role("late", late, QUERY)
    story.wait_ready("MilvusUser", "app")
    assert _roles_of(admin, name) == {late}


# --- roles that are not there


def test_a_user_waits_for_a_role_without_asking_milvus_and_heals_with_it(
    story: Story, admin: MilvusAdmin, neighbour: Neighbour
) -> None:
    story.connection(interval="24h")
    name, role, password = story.unique("u"), story.unique("r"), fresh_password()
    story.password("app", password)
    story.user("app", name, role)
    condition = story.wait_reason("MilvusUser", "app", "WaitingForRole")
    _must_say(condition, "spec.roles", role)
    # The role is all that is missing.
    assert admin.login_works(name, password)
    neighbour.must_be_served()

    story.milvus.clear()
    watch_for(5, lambda: not story.milvus.calls, lambda: story.milvus.calls)
    story.role("app", role, QUERY)
    story.wait_ready("MilvusRole", "app")
    story.wait_ready("MilvusUser", "app", timeout=10)
    assert admin.members()[role] == {name}


def test_a_user_is_given_the_roles_that_are_there_while_it_waits_for_another(
    story: Story, admin: MilvusAdmin
) -> None:
    name, here, missing = story.unique("u"), story.unique("r"), story.unique("later")
    story.password("app", fresh_password())
    story.role("here", here)
    story.user("app", name, here, missing)
    _must_say(story.wait_reason("MilvusUser", "app", "WaitingForRole"), missing)
    assert admin.members()[here] == {name}
    story.role("later", missing)
    story.wait_ready("MilvusUser", "app")
    assert admin.members()[missing] == {name}


# --- names


def test_the_account_that_the_operator_works_with_is_reserved(story: Story, admin: MilvusAdmin) -> None:
    name, password = story.unique("op"), fresh_password()
    admin.create_user(name, password)
    admin.bind(name, "admin")
    with MilvusForwarder(_port(admin)) as way:
        story.secret("second", {"username": name, "password": password})
        story.connection("second", password=None, uri=way.uri, credentialsSecretRef={"name": "second"})
        story.password("app", fresh_password())
        story.user("app", name, connectionRef={"name": "second"}, adoption="Always")
        _must_say(story.wait_reason("MilvusUser", "app", "ReservedName"), "spec.userName", name)
        assert admin.login_works(name, password)
    admin.delete_user(name)


def test_names_that_the_server_refuses_are_invalid_names(
    story: Story, admin: MilvusAdmin, neighbour: Neighbour
) -> None:
    story.password("dashed", fresh_password())
    story.user("dashed", f"u-{story.unique.token}")
    story.role("dashed", f"r-{story.unique.token}", QUERY)
    for kind in ("MilvusUser", "MilvusRole"):
        condition = story.wait_reason(kind, "dashed", "InvalidName")
        _must_say(condition, "spec.userName" if kind == "MilvusUser" else "spec.roleName", "choose another")
        assert (story.get(kind, "dashed") or {})["status"].get("claim") is None
    neighbour.must_be_served()
    for kind in ("MilvusUser", "MilvusRole"):
        story.delete(kind, "dashed")
        story.wait_gone(kind, "dashed")
    connection = story.get("MilvusConnection", CONNECTION) or {}
    assert "inFlight" not in connection["status"], "a refused create leaves no intent"
    assert not [name for name in admin.users() | admin.roles() if "-" in name and story.unique.token in name]


def test_the_server_may_want_longer_passwords_and_shorter_names(
    story: Story, milvus_profile: Callable[[Profile], MilvusFacts], admin: MilvusAdmin
) -> None:
    facts = milvus_profile(SHORT_LIMITS)
    with MilvusForwarder(facts.port) as way, facts.admin() as short:
        story.connection("short", password=None, uri=way.uri)
        ref = {"connectionRef": {"name": "short"}}
        name = story.unique("u")
        story.password("app", "seven77")
        story.user("app", name, **ref)
        story.role("app", f"{'r' * 20}_{story.unique.token}", QUERY, **ref)
        _must_say(
            story.wait_reason("MilvusUser", "app", "PasswordTooShort"), "passwordSecretRef", "10 to", "has 7"
        )
        _must_say(story.wait_reason("MilvusRole", "app", "InvalidName"), "spec.roleName", "choose another")
        Neighbour(story, admin).must_be_served()
        password = fresh_password()
        story.password("app", password)
        story.wait_ready("MilvusUser", "app")
        assert short.login_works(name, password)
        # A rotation to what the server refuses takes nothing away.
        story.password("app", "eight888")
        story.wait_reason("MilvusUser", "app", "PasswordTooShort")
        assert short.login_works(name, password)
        story.delete("MilvusUser", "app")
        story.wait_gone("MilvusUser", "app")


# --- connections


@contextmanager
def _second_way(admin: MilvusAdmin) -> Iterator[MilvusForwarder]:
    """Another endpoint of the shared Milvus: the one that is in trouble."""
    with MilvusForwarder(_port(admin)) as way:
        yield way


class Patient:
    """A role and a user that wait for a connection which does not work."""

    def __init__(self, story: Story, connection: str) -> None:
        self._story = story
        ref = {"connectionRef": {"name": connection}}
        self.name, self.role, self.password = story.unique("u"), story.unique("r"), fresh_password()
        story.password("patient", self.password)
        story.role("patient", self.role, QUERY, **ref)
        story.user("patient", self.name, self.role, **ref)

    def must_wait(self, *words: str) -> None:
        """See that both say for which connection they wait, and why it does not work."""
        for kind in ("MilvusRole", "MilvusUser"):
            _must_say(self._story.wait_reason(kind, "patient", "WaitingForConnection"), *words)

    def must_heal(self, admin: MilvusAdmin) -> None:
        """See that both are served, the way they asked for."""
        self._story.wait_ready("MilvusRole", "patient", timeout=100)
        self._story.wait_ready("MilvusUser", "patient")
        assert admin.login_works(self.name, self.password)
        assert admin.members()[self.role] == {self.name}
        assert _privileges(admin, self.role) == {"Query"}

    def leave(self) -> None:
        """Be deleted, on a way that is about to close."""
        for kind in ("MilvusUser", "MilvusRole"):
            self._story.delete(kind, "patient")
        for kind in ("MilvusUser", "MilvusRole"):
            self._story.wait_gone(kind, "patient")


def test_a_wrong_admin_password_is_rejected_and_heals_with_the_secret(
    story: Story, admin: MilvusAdmin, neighbour: Neighbour
) -> None:
    with _second_way(admin) as way:
        story.secret("wrong", {"username": "root", "password": fresh_password()})
        story.connection("wrong", password=None, uri=way.uri, credentialsSecretRef={"name": "wrong"})
        patient = Patient(story, "wrong")
        condition = story.wait_reason("MilvusConnection", "wrong", "CredentialsRejected")
        _must_say(condition, "spec.credentialsSecretRef", way.address)
        patient.must_wait("MilvusConnection wrong", "spec.credentialsSecretRef")
        neighbour.must_be_served()
        assert not way.writes()
        story.secret("wrong", {"username": "root", "password": "Milvus"})
        story.wait_ready("MilvusConnection", "wrong", timeout=10)
        patient.must_heal(admin)
        patient.leave()


BAD_ADMIN_SECRETS = {
    "no-secret": BadSecret({}, "WaitingForSecret", ("create it",)),
    "no-username": BadSecret({"password": "Milvus"}, "SecretKeyMissing", ("no key username", "add it")),
    "no-password": BadSecret({"username": "root"}, "SecretKeyMissing", ("no key password", "add it")),
    "empty-username": BadSecret({"username": "", "password": "Milvus"}, "SecretEmpty", ("Key username",)),
    "empty-password": BadSecret({"username": "root", "password": ""}, "SecretEmpty", ("Key password",)),
    "username-newline": BadSecret(
        {"username": "root\n", "password": "Milvus"}, "SecretTrailingNewline", ("Key username", "line break")
    ),
    "password-newline": BadSecret(
        {"username": "root", "password": "Milvus\n"}, "SecretTrailingNewline", ("Key password", "line break")
    ),
    "username-binary": BadSecret(
        {"username": b"\xff\xfe", "password": "Milvus"}, "SecretNotUTF8", ("Key username", "not UTF-8")
    ),
    "password-binary": BadSecret(
        {"username": "root", "password": b"\xff\xfe1234"}, "SecretNotUTF8", ("Key password", "not UTF-8")
    ),
    "short": BadSecret({"username": "root", "password": SHORT}, "PasswordTooShort", ("shorter than 6",)),
    "long": BadSecret({"username": "root", "password": "x" * 73}, "PasswordTooLong", ("longer than 72",)),
}


def test_a_secret_of_the_connection_that_is_no_login_is_named_and_heals(
    story: Story, admin: MilvusAdmin, neighbour: Neighbour
) -> None:
    with ExitStack() as stack:
        ways = {name: stack.enter_context(_second_way(admin)) for name in BAD_ADMIN_SECRETS}
        for name, way in ways.items():
            if BAD_ADMIN_SECRETS[name].data:
                story.secret(name, BAD_ADMIN_SECRETS[name].data)
            story.connection(name, password=None, uri=way.uri, credentialsSecretRef={"name": name})
        for name in ways:
            condition = story.wait_reason("MilvusConnection", name, BAD_ADMIN_SECRETS[name].reason)
            where = f"Secret {story.namespace}/{name}"
            _must_say(condition, "spec.credentialsSecretRef", where, *BAD_ADMIN_SECRETS[name].words)
        neighbour.must_be_served()
        for name in ways:
            story.secret(name, {"username": "root", "password": "Milvus"})
        for name in ways:
            story.wait_ready("MilvusConnection", name)


def test_a_wrong_uri_is_unreachable_and_heals_when_it_is_corrected(
    story: Story, admin: MilvusAdmin, neighbour: Neighbour
) -> None:
    port = free_port()
    story.connection("wrong", password=None, uri=f"http://127.0.0.1:{port}")
    patient = Patient(story, "wrong")
    condition = story.wait_reason("MilvusConnection", "wrong", "Unreachable")
    _must_say(condition, f"127.0.0.1:{port}", "spec.uri")
    patient.must_wait("MilvusConnection wrong", f"127.0.0.1:{port}")
    neighbour.must_be_served()
    with _second_way(admin) as way:
        story.connection("wrong", password=None, uri=way.uri)
        story.wait_ready("MilvusConnection", "wrong", timeout=10)
        patient.must_heal(admin)
        patient.leave()
    release_port(port)


def test_a_host_that_nobody_knows_and_a_server_that_is_no_milvus_are_unreachable(
    story: Story, neighbour: Neighbour
) -> None:
    story.connection("nowhere", password=None, uri="http://nobody.invalid:19530")
    _must_say(story.wait_reason("MilvusConnection", "nowhere", "Unreachable"), "spec.uri", "nobody.invalid")
    story.connection("nonsense", password=None, uri="http://a..b:19530")
    _must_say(story.wait_reason("MilvusConnection", "nonsense", "Unreachable"), "spec.uri")
    story.delete("MilvusConnection", "nonsense")
    story.wait_gone("MilvusConnection", "nonsense")
    story.connection("alien", password=None, uri=f"http://127.0.0.1:{story.operator.port}")
    condition = story.wait_reason("MilvusConnection", "alien", "Unreachable")
    _must_say(condition, "spec.uri", f"127.0.0.1:{story.operator.port}")
    neighbour.must_be_served()


def test_tls_asked_of_a_plaintext_port_says_so_and_heals(
    story: Story, admin: MilvusAdmin, neighbour: Neighbour
) -> None:
    with MilvusForwarder(_port(admin), parse=False) as way:
        story.connection("tls", password=None, uri=f"https://{way.address}")
        patient = Patient(story, "tls")
        condition = story.wait_reason("MilvusConnection", "tls", "TLSMismatch")
        _must_say(condition, way.address, "write http:// in spec.uri")
        patient.must_wait("http://")
        neighbour.must_be_served()
        story.connection("tls", password=None, uri=way.uri)
        patient.must_heal(admin)
        patient.leave()


def test_plaintext_to_a_tls_port_says_so_and_heals(
    story: Story, milvus_profile: Callable[[Profile], MilvusFacts], neighbour: Neighbour
) -> None:
    facts = milvus_profile(TLS)
    with MilvusForwarder(facts.port, parse=False) as way, facts.admin() as admin:
        story.connection("plain", password=None, uri=way.uri)
        patient = Patient(story, "plain")
        condition = story.wait_reason("MilvusConnection", "plain", "TLSMismatch")
        _must_say(condition, way.address, "write https:// in spec.uri")
        # One step further: nobody vouches for the certificate yet.
        story.connection("plain", password=None, uri=f"https://{way.address}")
        condition = story.wait_reason("MilvusConnection", "plain", "TLSMismatch")
        story.wait(
            lambda: (
                "spec.tls.caSecretRef"
                in story.wait_reason("MilvusConnection", "plain", "TLSMismatch")["message"]
            ),
            "the way out is named",
        )
        tls = {"caSecretRef": {"name": "ca"}}
        story.connection("plain", password=None, uri=f"https://{way.address}", tls=tls)
        condition = story.wait_reason("MilvusConnection", "plain", "WaitingForSecret")
        _must_say(condition, "spec.tls.caSecretRef", f"Secret {story.namespace}/ca", "ca.crt")
        neighbour.must_be_served()
        story.secret("ca", {"ca.crt": facts.ca_pem or b""})
        story.wait_ready("MilvusConnection", "plain", timeout=10)
        patient.must_heal(admin)
        patient.leave()


def test_a_connection_that_is_not_there_is_waited_for(story: Story, admin: MilvusAdmin) -> None:
    patient = Patient(story, "later")
    patient.must_wait("spec.connectionRef", "MilvusConnection later", "create it")
    with _second_way(admin) as way:
        story.connection("later", password=None, uri=way.uri)
        patient.must_heal(admin)
        patient.leave()


def test_a_connection_of_another_namespace_is_not_permitted(story: Story, admin: MilvusAdmin) -> None:
    name = story.unique("u")
    story.password("app", fresh_password())
    story.user("app", name, connectionRef={"name": CONNECTION, "namespace": "milvus-rbac-system"})
    _must_say(story.wait_reason("MilvusUser", "app", "NotPermitted"), "spec.connectionRef", "delegates")
    assert name not in admin.users()
    story.delete("MilvusUser", "app")
    story.wait_gone("MilvusUser", "app")


def test_without_a_reference_and_a_default_there_is_no_connection(story: Story) -> None:
    story.apply("MilvusRole", "app", {"roleName": story.unique("r"), "grants": []})
    condition = story.wait_reason("MilvusRole", "app", "NoDefaultConnection")
    _must_say(condition, "spec.connectionRef", "create it again with a connectionRef")


def test_the_admin_secret_is_rotated_by_hand_in_the_right_order(
    story: Story, admin: MilvusAdmin, neighbour: Neighbour
) -> None:
    """First the Secret, then Milvus: the connection says CredentialsRejected in between and heals by itself."""
    name, old, new = story.unique("op"), fresh_password(), fresh_password()
    admin.create_user(name, old)
    admin.bind(name, "admin")
    with _second_way(admin) as way:
        story.secret("second", {"username": name, "password": old})
        story.connection("second", password=None, uri=way.uri, credentialsSecretRef={"name": "second"})
        story.wait_ready("MilvusConnection", "second")
        story.secret("second", {"username": name, "password": new})
        story.wait_reason("MilvusConnection", "second", "CredentialsRejected")
        admin.update_password(name, old, new)
        story.wait_ready("MilvusConnection", "second", timeout=60)
        neighbour.must_be_served()
    admin.delete_user(name)


def _privileges(admin: MilvusAdmin, role: str) -> set[str]:
    return {privilege for _, _, _, privilege in admin.grants(role)}


def _roles_of(admin: MilvusAdmin, user: str) -> set[str]:
    return {role for role, members in admin.dump()["members"].items() if user in members} - {"public"}


def _port(admin: MilvusAdmin) -> int:
    return int(admin.address.rpartition(":")[2])
