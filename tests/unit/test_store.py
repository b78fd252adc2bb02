"""The store holds what was seen last, whatever order it is told in."""

import pytest

from milvus_rbac.controller.entry import read_entry
from milvus_rbac.controller.store import Store
from milvus_rbac.domain.claims import SecretVersion
from unit.resources import Json, claimed, connection, role, user

GOING = "2026-01-02T00:00:00Z"
PROD = ("ns", "prod")


class TestEntries:
    def test_what_came_with_the_answer_to_our_own_write_is_still_news_when_it_is_told(self) -> None:
        store = Store()
        store.put(user())
        store.put(user(resourceVersion="12", generation=2), answered=True)
        assert store.put(user(resourceVersion="11", generation=2))[1]
        assert not store.put(user(resourceVersion="12", generation=2))[1]

    def test_what_is_read_says_what_it_is(self) -> None:
        one = read_entry(
            user(status=claimed(), finalizers=["rbac.milvus.io/finalizer"], managedFields=["much"])
        )
        assert (one.kind, one.uid, one.name, one.generation) == ("MilvusUser", "uid-app", ("ns", "app"), 1)
        assert (one.deleting, one.has_finalizer, one.retain_forced) == (False, True, False)
        assert "managedFields" not in one.metadata
        assert one.status["claim"]["name"] == "app"
        assert one.claimant is not None
        assert one.connection is None
        assert list(one.secrets) == [("ns", "app")]

    def test_what_is_missing_is_empty(self) -> None:
        one = read_entry(role())
        assert one.status == {}
        assert not one.has_finalizer
        assert list(one.secrets) == []

    def test_a_connection_reads_its_credentials_and_its_authority(self) -> None:
        tls = {"uri": "https://milvus", "tls": {"caSecretRef": {"name": "ca"}}}
        assert list(read_entry(connection()).secrets) == [("ns", "admin")]
        assert list(read_entry(connection(spec=tls)).secrets) == [("ns", "admin"), ("ns", "ca")]
        other = {"uri": "https://milvus", "tls": {"serverName": "milvus"}}
        assert list(read_entry(connection(spec=other)).secrets) == [("ns", "admin")]
        assert read_entry(connection()).connection is not None
        assert read_entry(connection()).claimant is None

    def test_a_spec_that_does_not_fit_says_where(self) -> None:
        one = read_entry(user(spec={"userName": 7}))
        assert (one.model, one.claimant, list(one.secrets)) == (None, None, [])
        assert one.problem.startswith("spec.userName: ")

    @pytest.mark.parametrize(
        ("changed", "news", "reason"),
        [
            ({"generation": 2}, True, "the spec changed"),
            ({"deletionTimestamp": GOING}, True, "it is being deleted"),
            ({"annotations": {"rbac.milvus.io/reconcile-at": "now"}}, True, "somebody asks"),
            ({"annotations": {"rbac.milvus.io/force-retain": "true"}}, True, "somebody lets it go"),
            (
                {"annotations": {"rbac.milvus.io/unheard-of": "now"}},
                False,
                "another annotation is somebody else's",
            ),
            ({"labels": {"a": "b"}}, False, "a label is somebody else's"),
            ({"finalizers": ["rbac.milvus.io/finalizer"]}, False, "our own write"),
            ({}, False, "nothing at all"),
        ],
    )
    def test_there_is_news_where_somebody_else_asks_for_something(
        self, changed: Json, news: bool, reason: str
    ) -> None:
        store = Store()
        assert store.put(user()) == (read_entry(user()), True)
        assert store.put(user(resourceVersion="11", **changed))[1] is news, reason

    def test_our_own_status_is_no_news(self) -> None:
        store = Store()
        store.put(user())
        entry, news = store.put(user(status=claimed(), resourceVersion="11"))
        assert not news
        assert store.entries == {"uid-app": entry}


class TestOrder:
    def test_an_older_word_does_not_undo_a_newer_one(self) -> None:
        store = Store()
        newer, _ = store.put(user(status=claimed(), resourceVersion="100"))
        assert store.put(user(resourceVersion="99", generation=0)) == (newer, False)
        assert store.entries["uid-app"] is newer

    def test_versions_are_numbers(self) -> None:
        store = Store()
        store.put(user(resourceVersion="99"))
        newer, _ = store.put(user(resourceVersion="100", generation=2))
        assert store.entries["uid-app"] is newer

    def test_a_late_word_of_a_deleted_object_does_not_hide_its_namesake(self) -> None:
        store = Store()
        store.put(user(uid="old", resourceVersion="10"))
        namesake, _ = store.put(user(uid="new", resourceVersion="20"))
        store.put(user(uid="old", resourceVersion="15", deletionTimestamp=GOING))
        assert store.find("MilvusUser", ("ns", "app")) is namesake
        store.remove("old")
        assert store.find("MilvusUser", ("ns", "app")) is namesake

    def test_a_namesake_takes_the_name(self) -> None:
        store = Store()
        store.put(user(uid="old", resourceVersion="10"))
        namesake, _ = store.put(user(uid="new", resourceVersion="20"))
        assert store.find("MilvusUser", ("ns", "app")) is namesake
        assert set(store.entries) == {"old", "new"}

    def test_what_is_gone_is_not_brought_back_by_a_late_answer(self) -> None:
        store = Store()
        store.put(user())
        store.remove("uid-app")
        assert store.put(user(resourceVersion="99"))[1] is False
        assert store.entries == {}
        assert store.find("MilvusUser", ("ns", "app")) is None


class TestFinding:
    def test_an_object_is_found_by_its_name_until_it_is_gone(self) -> None:
        store = Store()
        one, _ = store.put(user())
        assert store.find("MilvusUser", ("ns", "app")) is one
        assert store.find("MilvusRole", ("ns", "app")) is None
        assert store.remove("uid-app") is one
        assert store.find("MilvusUser", ("ns", "app")) is None
        assert store.remove("uid-app") is None

    def test_objects_are_listed_by_kind(self) -> None:
        store = Store()
        for one in (user(), role(), connection()):
            store.put(one)
        assert [one.uid for one in store.of_kind("MilvusRole")] == ["uid-reader"]

    @pytest.mark.parametrize(
        ("one", "expected", "reason"),
        [
            (user(), PROD, "in its own namespace, unless it says another"),
            (
                user(spec={"connectionRef": {"name": "prod", "namespace": "far"}}),
                ("far", "prod"),
                "as it says",
            ),
            (user(spec={"connectionRef": None}), ("milvus", "default"), "the operator's default"),
            (connection(), None, "a connection means none"),
            (user(spec={"userName": 7}), None, "what can't be read means none"),
        ],
    )
    def test_a_resource_means_one_connection(
        self, one: Json, expected: tuple[str, str] | None, reason: str
    ) -> None:
        assert Store(("milvus", "default")).connection_name(read_entry(one)) == expected, reason

    def test_without_a_default_nothing_is_meant(self) -> None:
        assert Store().connection_name(read_entry(user(spec={"connectionRef": None}))) is None

    def test_who_names_a_connection_from_elsewhere_may_not_use_it(self) -> None:
        store = Store()
        near, _ = store.put(user())
        far, _ = store.put(
            user("far", namespace="far", spec={"connectionRef": {"name": "prod", "namespace": "ns"}})
        )
        store.put(user("none", spec={"connectionRef": None}))
        assert store.claimants(PROD) == [near]
        assert {one.uid for one in store.naming(PROD)} == {near.uid, far.uid}
        assert store.claimants(("ns", "other")) == store.naming(("ns", "other")) == []
        store.remove(near.uid)
        assert store.claimants(PROD) == []


class TestSecrets:
    FIRST, SECOND = SecretVersion("s", "1"), SecretVersion("s", "2")

    def test_who_reads_a_secret_is_told_of_every_new_version_once(self) -> None:
        store = Store()
        store.put(user())
        store.put(user("other", spec={"passwordSecretRef": {"name": "app"}}))
        store.put(user("far", namespace="far", spec={"passwordSecretRef": {"name": "app"}}))
        assert store.put_secret(("ns", "app"), self.FIRST) == {"uid-app", "uid-other"}
        assert store.put_secret(("ns", "app"), self.FIRST) == frozenset()
        assert store.put_secret(("ns", "app"), self.SECOND) == {"uid-app", "uid-other"}
        assert store.secret(("ns", "app")) == self.SECOND
        assert store.put_secret(("ns", "app"), None) == {"uid-app", "uid-other"}
        assert store.put_secret(("ns", "app"), None) == frozenset()
        assert store.secret(("ns", "app")) is None

    def test_a_secret_that_nobody_reads_is_remembered_for_who_comes_later(self) -> None:
        store = Store()
        assert store.put_secret(("ns", "app"), self.FIRST) == frozenset()
        assert list(store.secret_names()) == [("ns", "app")]
        store.put(user())
        assert store.secret(("ns", "app")) == self.FIRST

    def test_who_reads_another_secret_now_is_not_told_of_the_old_one(self) -> None:
        store = Store()
        store.put(user())
        store.put(user(spec={"passwordSecretRef": {"name": "new"}}, resourceVersion="11", generation=2))
        assert store.put_secret(("ns", "app"), self.FIRST) == frozenset()
        assert store.put_secret(("ns", "new"), self.FIRST) == {"uid-app"}
        store.remove("uid-app")
        assert store.put_secret(("ns", "new"), self.SECOND) == frozenset()
