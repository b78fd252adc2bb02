"""The cache holds what was seen last, in whatever order it is told, and says what has changed."""

import time

import pytest

from milvus_rbac.controller.cache import Cache, Standing
from milvus_rbac.controller.entry import read_entry
from milvus_rbac.domain.claims import SecretVersion
from unit.resources import Json, claimed, connection, role, user

GOING = "2026-01-02T00:00:00Z"
PROD = ("ns", "prod")


def changed(cache: Cache) -> list[str]:
    """The uids of what has changed since the last call."""
    return [change.entry.uid for change in cache.take_changes()]


class TestEntries:
    def test_what_is_read_says_what_it_is(self) -> None:
        one = read_entry(
            user(status=claimed(), finalizers=["rbac.milvus.io/finalizer"], managedFields=["much"])
        )
        assert (one.kind, one.uid, one.name, one.generation) == ("MilvusUser", "uid-app", ("ns", "app"), 1)
        assert (one.deleting, one.has_finalizer, one.retain_forced) == (False, True, False)
        assert one.status["claim"]["name"] == "app"
        assert one.claimant is not None
        assert one.connection is None
        assert list(one.secrets) == [("ns", "app")]

    def test_what_is_missing_is_empty(self) -> None:
        one = read_entry(role())
        assert one.status == {}
        assert not one.has_finalizer
        assert list(one.secrets) == []

    def test_big_lists_are_kept_as_records_and_databases_as_names(self) -> None:
        grants = [
            {
                "objectType": "Collection",
                "privilege": "Query",
                "database": "sales",
                "objectName": f"c{number}",
            }
            for number in range(1000)
        ]
        one = read_entry(role(status={"grants": grants, "grantCount": 1000}))
        assert len(one.status["grants"]) == 8 * 1000
        shuffled = [dict(reversed(grant.items())) for grant in grants]
        assert one.record == read_entry(role(status={"grants": shuffled, "grantCount": 1000})).record
        assert read_entry(role(status={"grants": grants, "grantCount": 1001})).record is None, (
            "some are not told"
        )
        assert one.databases == {"sales"}
        assert one.status["grants"] != read_entry(role(status={"grants": grants[1:]})).status["grants"]

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
        assert (one.spec, one.claimant, list(one.secrets)) == (None, None, [])
        assert one.problem.startswith("spec.userName: ")

    def test_a_spec_is_parsed_once_per_generation(self) -> None:
        cache = Cache()
        first = cache.put(user())
        second = cache.put(user(resourceVersion="11", status=claimed()))
        assert second.spec is first.spec
        third = cache.put(user(resourceVersion="12", generation=2, spec={"roles": ["a"]}))
        assert third.user is not None
        assert third.user.roles == ("a",)

    @pytest.mark.parametrize(
        ("change", "is_told", "reason"),
        [
            ({"generation": 2}, True, "the spec changed"),
            ({"deletionTimestamp": GOING}, True, "it is being deleted"),
            ({"annotations": {"rbac.milvus.io/reconcile-at": "now"}}, True, "a person asks"),
            ({"annotations": {"rbac.milvus.io/force-retain": "true"}}, True, "a person lets it go"),
            ({"annotations": {"rbac.milvus.io/unheard-of": "now"}}, False, "an annotation of another tool"),
            ({"labels": {"a": "b"}}, False, "a label"),
            ({"finalizers": ["rbac.milvus.io/finalizer"]}, False, "our own write"),
            ({}, False, "nothing at all"),
        ],
    )
    def test_a_change_is_what_others_ask_for(self, change: Json, is_told: bool, reason: str) -> None:
        cache = Cache()
        cache.put(user())
        assert changed(cache) == ["uid-app"]
        cache.put(user(resourceVersion="11", **change))
        assert changed(cache) == (["uid-app"] if is_told else []), reason

    def test_what_came_with_the_answer_to_a_write_is_a_change_and_its_event_is_none(self) -> None:
        cache = Cache()
        cache.put(user())
        changed(cache)
        cache.put(user(resourceVersion="12", generation=2))
        assert changed(cache) == ["uid-app"]
        assert cache.has_version("12")
        cache.put(user(resourceVersion="12", generation=2))
        assert changed(cache) == []


class TestStandings:
    def test_each_resource_is_counted_once_as_it_stands_now(self) -> None:
        def ready(reason: str) -> Json:
            condition = {"type": "Ready", "status": "False", "reason": reason, "message": "."}
            return {"conditions": [condition | {"lastTransitionTime": GOING}]}

        cache = Cache()
        cache.put(connection())
        cache.put(user())
        cache.put(role())
        assert cache.standings == {
            Standing("ns/prod", is_connection=True, reason="Unknown", interval=300.0): 1,
            Standing("ns/prod", is_connection=False, reason="Unknown"): 2,
        }
        cache.put(user(resourceVersion="11", status=ready("SecretMissing")))
        cache.put(user(resourceVersion="10"))
        cache.put(role(resourceVersion="12", generation=2, spec={"connectionRef": {"name": "other"}}))
        cache.remove("uid-prod")
        assert cache.standings == {
            Standing("ns/prod", is_connection=False, reason="SecretMissing"): 1,
            Standing("ns/other", is_connection=False, reason="Unknown"): 1,
        }
        for uid in ("uid-app", "uid-reader"):
            cache.remove(uid)
        assert cache.standings == {}


class TestOrder:
    def test_an_older_version_does_not_undo_a_newer_one(self) -> None:
        cache = Cache()
        newer = cache.put(user(status=claimed(), resourceVersion="100"))
        assert cache.put(user(resourceVersion="99", generation=0)) is newer
        assert cache.entries["uid-app"] is newer

    def test_versions_are_numbers(self) -> None:
        cache = Cache()
        cache.put(user(resourceVersion="99"))
        newer = cache.put(user(resourceVersion="100", generation=2))
        assert cache.entries["uid-app"] is newer

    def test_a_late_event_of_a_deleted_object_does_not_hide_its_namesake(self) -> None:
        cache = Cache()
        cache.put(user(uid="old", resourceVersion="10"))
        namesake = cache.put(user(uid="new", resourceVersion="20"))
        cache.put(user(uid="old", resourceVersion="15", deletionTimestamp=GOING))
        assert cache.find("MilvusUser", ("ns", "app")) is namesake
        cache.remove("old")
        assert cache.find("MilvusUser", ("ns", "app")) is namesake
        assert set(cache.entries) == {"new"}

    def test_what_is_gone_is_not_brought_back_by_a_late_event(self) -> None:
        cache = Cache()
        cache.put(user(resourceVersion="99"))
        cache.remove("uid-app")
        cache.put(user(resourceVersion="99"))
        cache.put(user(resourceVersion="98"))
        assert cache.entries == {}
        assert cache.find("MilvusUser", ("ns", "app")) is None

    def test_what_was_taken_for_gone_by_mistake_comes_back_with_its_next_version(self) -> None:
        cache = Cache()
        cache.put(user(resourceVersion="99"))
        cache.remove("uid-app")
        changed(cache)
        cache.put(user(resourceVersion="100"))
        assert set(cache.entries) == {"uid-app"}
        assert changed(cache) == ["uid-app"]

    def test_a_list_brings_back_what_was_taken_for_gone_by_mistake(self) -> None:
        cache = Cache()
        cache.put(user(resourceVersion="99"))
        cache.remove("uid-app")
        cache.put(user(resourceVersion="99"), listed_at=time.monotonic())
        assert set(cache.entries) == {"uid-app"}

    def test_a_list_counts_even_if_versions_went_backwards(self) -> None:
        """The etcd of the cluster was restored from a backup."""
        cache = Cache()
        cache.put(user(resourceVersion="5000", generation=3))
        restored = cache.put(user(resourceVersion="3000", generation=2), listed_at=time.monotonic())
        assert cache.entries["uid-app"] is restored

    def test_a_list_that_began_earlier_does_not_undo_what_was_seen_since(self) -> None:
        cache = Cache()
        began = time.monotonic()
        newer = cache.put(user(resourceVersion="5000", generation=3))
        cache.put(user(resourceVersion="4999", generation=2), listed_at=began)
        assert cache.entries["uid-app"] is newer


class TestFinding:
    def test_an_object_is_found_by_its_name_until_it_is_gone(self) -> None:
        cache = Cache()
        one = cache.put(user())
        assert cache.find("MilvusUser", ("ns", "app")) is one
        assert cache.find("MilvusRole", ("ns", "app")) is None
        cache.remove("uid-app")
        assert cache.find("MilvusUser", ("ns", "app")) is None
        assert [change.is_gone for change in cache.take_changes()] == [False, True]
        cache.remove("uid-app")
        assert cache.take_changes() == []

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
        assert Cache(("milvus", "default")).connection_name(read_entry(one)) == expected, reason

    def test_without_a_default_nothing_is_meant(self) -> None:
        assert Cache().connection_name(read_entry(user(spec={"connectionRef": None}))) is None

    def test_what_names_a_connection_from_elsewhere_may_not_use_it(self) -> None:
        cache = Cache()
        cache.put(connection())
        near = cache.put(user())
        far = cache.put(
            user("far", namespace="far", spec={"connectionRef": {"name": "prod", "namespace": "ns"}})
        )
        cache.put(user("none", spec={"connectionRef": None}))
        assert list(cache.claimants(PROD)) == [near]
        assert cache.counts(PROD) == {"MilvusUser": 1}
        assert {one.uid for one in cache.naming(PROD)} == {near.uid, far.uid}
        assert list(cache.claimants(("ns", "other"))) == cache.naming(("ns", "other")) == []
        cache.remove(near.uid)
        assert list(cache.claimants(PROD)) == []

    def test_rivals_are_what_claims_the_same_name_through_the_same_connection(self) -> None:
        cache = Cache()
        one = cache.put(user())
        other = cache.put(user("other", spec={"userName": "app"}))
        cache.put(user("elsewhere", spec={"userName": "app", "connectionRef": {"name": "test"}}))
        assert cache.rivals(one) == [other]

    def test_nothing_is_kept_of_what_is_gone(self) -> None:
        cache = Cache()
        for number in range(100):
            cache.put(user(f"u{number}"))
            cache.put(role(f"r{number}"))
        for uid in list(cache.entries):
            cache.remove(uid)
        cache.take_changes()
        kept = {
            name: value
            for name, value in vars(cache).items()
            if isinstance(value, dict | list | set) and value and name != "_tombstones"
        }
        assert kept == {}


class TestSecrets:
    FIRST, SECOND = SecretVersion("s", "1"), SecretVersion("s", "2")

    def test_what_reads_a_secret_learns_of_every_new_version_once(self) -> None:
        cache = Cache()
        cache.put(user())
        cache.put(user("other", spec={"passwordSecretRef": {"name": "app"}}))
        cache.put(user("far", namespace="far", spec={"passwordSecretRef": {"name": "app"}}))
        changed(cache)
        for version in (self.FIRST, self.SECOND, None):
            cache.put_secret(("ns", "app"), version)
            assert {(change.entry.uid, change.by_secret) for change in cache.take_changes()} == {
                ("uid-app", True),
                ("uid-other", True),
            }
            cache.put_secret(("ns", "app"), version)
            assert changed(cache) == []
            assert cache.secret(("ns", "app")) == version

    def test_a_secret_that_no_resource_reads_is_remembered_for_what_comes_later(self) -> None:
        cache = Cache()
        cache.put_secret(("ns", "app"), self.FIRST)
        assert list(cache.secret_names()) == [("ns", "app")]
        cache.put(user())
        assert cache.secret(("ns", "app")) == self.FIRST

    def test_what_reads_another_secret_now_does_not_learn_of_the_old_one(self) -> None:
        cache = Cache()
        cache.put(user())
        cache.put(user(spec={"passwordSecretRef": {"name": "new"}}, resourceVersion="11", generation=2))
        changed(cache)
        cache.put_secret(("ns", "app"), self.FIRST)
        assert changed(cache) == []
        cache.put_secret(("ns", "new"), self.FIRST)
        assert changed(cache) == ["uid-app"]
