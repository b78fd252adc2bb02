"""Passwords are in Secrets and in memory, and nowhere else, whatever happens and however much is logged."""

import base64
from collections.abc import Callable

from support.passwords import fresh_password
from support.secrecy import Search, around, everything_in
from support.story import CONNECTION, Story
from testbed.milvus import MilvusServer
from testbed.milvus_admin import MilvusAdmin
from testbed.milvus_forwarder import MilvusForwarder


class Passwords:
    """Hands out passwords and remembers them all."""

    def __init__(self) -> None:
        self.all: list[str] = []

    def __call__(self, text: str | None = None) -> str:
        """Give one that nobody had, or remember this one."""
        self.all.append(text or fresh_password())
        return self.all[-1]


def test_no_password_is_anywhere_but_in_secrets(
    stage: Story, fresh_milvus: Callable[[], MilvusServer]
) -> None:
    passwords, server = Passwords(), fresh_milvus()
    with MilvusForwarder(server.port) as way:
        shown = _live(stage, passwords, server, way)
    texts = {**everything_in(stage.cluster), **shown}
    kinds = {place.partition(" ")[0] for place in texts if f" {stage.namespace}/" in place}
    assert {"MilvusUser", "MilvusRole", "MilvusConnection", "Lease", "Event"} <= kinds
    assert "Secret" not in kinds
    assert "The lease is ours" in shown["log one"]
    search = Search(passwords.all)
    assert len(passwords.all) > 10
    assert not search.find(texts)

    # It would have been found.
    planted = passwords.all[-1]
    stage.annotate("MilvusUser", "app", note=planted)
    found = search.find(everything_in(stage.cluster))
    assert [place for place in found if place.startswith(f"MilvusUser {stage.namespace}/app")], found
    for disguise in _disguised(planted):
        assert search.find({"log": f"something {disguise} else"}), disguise


def _disguised(password: str) -> list[str]:
    return [
        password,
        password.encode().hex(),
        _base64(password),
        _base64(f"u:{password}"),
        _base64(f"us:{password}\n"),
        _base64(f'{{"password": "{password}"}}'),
    ]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _live(stage: Story, passwords: Passwords, server: MilvusServer, way: MilvusForwarder) -> dict[str, str]:
    """Go through everything that a password takes part in; give what operators showed, by the name of the place."""
    shown: dict[str, str] = {}
    root = passwords()
    # A wrong password first, then a bootstrap.
    stage.connection(uri=way.uri, password=passwords(), bootstrap=False)
    stage.start_operator(log_level="DEBUG")
    stage.wait_reason("MilvusConnection", CONNECTION, "CredentialsRejected")
    stage.connection(uri=way.uri, password=root, bootstrap=True, interval="10s")
    stage.wait_ready("MilvusConnection", CONNECTION)
    with server.admin(password=root) as admin:
        _rotate(stage, passwords, admin)
        _refuse(stage, passwords, admin)
        shown |= {f"{place} one": text for place, text in around(stage.operator).items()}
        _recreate(stage, passwords, admin)
        _break(stage, passwords, admin, way)
        shown |= {f"{place} two": text for place, text in around(stage.operator).items()}
    return shown


def _rotate(stage: Story, passwords: Passwords, admin: MilvusAdmin) -> None:
    name, role = stage.unique("u"), stage.unique("r")
    stage.role("app", role, {"privileges": ["Query"], "collections": ["*"]})
    stage.password("app", passwords())
    stage.user("app", name, role)
    stage.wait_ready("MilvusUser", "app")
    for _ in range(2):
        stage.password("app", passwords())
        stage.wait(lambda: admin.login_works(name, passwords.all[-1]), "the password is in force")
    stage.wait_ready("MilvusUser", "app")
    # Somebody changes it by hand, and it is put back.
    changed = passwords()
    admin.update_password(name, passwords.all[-2], changed)
    stage.wait(lambda: not admin.login_works(name, changed), "the change is put back", timeout=60)


def _refuse(stage: Story, passwords: Passwords, admin: MilvusAdmin) -> None:
    bad: dict[str, str | bytes] = {
        "newline": passwords() + "\n",
        "long": passwords(fresh_password() + fresh_password() + fresh_password()),
        "binary": passwords().encode() + b"\xff",
    }
    for resource, password in bad.items():
        stage.password(resource, password)
        stage.user(resource, stage.unique("bad"))
    for resource, reason in (
        ("newline", "SecretTrailingNewline"),
        ("long", "PasswordTooLong"),
        ("binary", "SecretNotUTF8"),
    ):
        stage.wait_reason("MilvusUser", resource, reason)
    # A name that the server refuses, an account of somebody else, a key for the old password.
    stage.password("dashed", passwords())
    stage.user("dashed", f"u-{stage.unique.token}")
    stage.wait_reason("MilvusUser", "dashed", "InvalidName")
    foreign = stage.unique("foreign")
    admin.create_user(foreign, passwords())
    stage.secret("foreign", {"password": passwords(), "previous-password": passwords()})
    stage.user("foreign", foreign)
    stage.wait_reason("MilvusUser", "foreign", "Conflict")


def _recreate(stage: Story, passwords: Passwords, admin: MilvusAdmin) -> None:
    """A rotation while nobody looks: the user has to be dropped and created again."""
    body = stage.get("MilvusUser", "app") or {}
    stage.operator.kill()
    password = passwords()
    stage.password("app", password)
    stage.start_operator(log_level="DEBUG")
    stage.wait(lambda: admin.login_works(body["spec"]["userName"], password), "the user was created again")


def _break(stage: Story, passwords: Passwords, admin: MilvusAdmin, way: MilvusForwarder) -> None:
    """Lost replies, a server that is gone, and one that does not answer with gRPC."""
    body = stage.get("MilvusUser", "app") or {}
    way.lose_reply("UpdateCredential")
    password = passwords()
    stage.password("app", password)
    stage.wait(lambda: admin.login_works(body["spec"]["userName"], password), "the lost rotation", timeout=60)
    way.drop_all()
    stage.password("late", passwords())
    stage.user("late", stage.unique("late"))
    stage.wait_reason("MilvusUser", "late", "WaitingForConnection")
    way.restore()
    stage.wait_ready("MilvusUser", "late", timeout=90)
    stage.delete("MilvusUser", "late")
    stage.wait_gone("MilvusUser", "late")
