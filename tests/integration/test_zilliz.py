"""Zilliz Cloud as its documentation describes it; never tried on the service itself."""

from support.double.gate import API_KEY
from support.served import held, lets_in, users

from .conftest import DressUp

GOOD, BETTER = "Correct-horse-1", "Correct-horse-2"


def test_an_api_key_is_enough_and_shows_up_nowhere(dress_up: DressUp) -> None:
    story, _ = dress_up("zilliz", token=API_KEY)
    connection = story.wait_ready("MilvusConnection", "prod")
    assert "warnings" not in connection["status"]
    story.operator.kill()
    assert API_KEY not in story.operator.output
    story.secret("milvus-admin", {"token": API_KEY + "\n"})
    story.start_operator()
    refused = story.wait_reason("MilvusConnection", "prod", "SecretTrailingNewline")
    assert "Key token of Secret" in refused["message"]
    story.secret("milvus-admin", {"token": "another"})
    story.wait_reason("MilvusConnection", "prod", "CredentialsRejected")
    story.secret("milvus-admin", {"token": "db_admin:Milvus"})
    story.wait_ready("MilvusConnection", "prod")


def test_users_have_what_the_cloud_gives_and_are_told_what_it_does_not(dress_up: DressUp) -> None:
    story, double = dress_up("zilliz", token=API_KEY)
    story.password("app", "correct-horse-")
    story.role(
        "reader",
        "reader",
        {"privileges": ["CollectionReadOnly"], "database": "default", "collections": ["*"]},
        {"privileges": ["Search"], "collections": ["*"]},
    )
    story.user("app", "app", "reader", "db_ro")
    story.role("theirs", "db_rw", adoption="Always")
    story.group("finders", "finders", "Search")

    weak = story.wait_reason("MilvusUser", "app", "PasswordTooWeak")
    assert weak["message"].startswith("spec.passwordSecretRef: ")
    single = story.wait_reason("MilvusRole", "reader", "UnsupportedByServer")
    assert "privilege Search" in single["message"]
    assert held(double, "reader") == {("Global", "CollectionReadOnly", "default", "*")}
    story.wait_reason("MilvusPrivilegeGroup", "finders", "UnsupportedByServer")
    story.wait_reason("MilvusRole", "theirs", "ReservedName")

    story.password("app", GOOD)
    story.wait_ready("MilvusUser", "app")
    assert double.ask(lambda one: one.core.store.users["app"].roles) == {"reader", "db_ro"}
    story.password("app", BETTER)
    story.wait(lambda: lets_in(double, "app", BETTER), "the new password in force")
    story.patch(
        "MilvusRole",
        "reader",
        {"spec": {"grants": [{"privileges": ["CollectionReadOnly"], "collections": ["*"]}]}},
    )
    story.wait_ready("MilvusRole", "reader")
    assert "DeleteCredential" not in story.written
    for kind, name in (("MilvusUser", "app"), ("MilvusRole", "reader"), ("MilvusPrivilegeGroup", "finders")):
        story.delete(kind, name)
        story.wait_gone(kind, name)
    assert users(double) == {"db_admin"}
    assert double.ask(lambda one: set(one.core.store.roles)) >= {"db_admin", "db_rw", "db_ro"}
