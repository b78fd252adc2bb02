"""The custom resources as values: what is read from the API server, and how a damaged status is survived."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from milvus_rbac.api.v1alpha1 import KINDS, MilvusConnection, MilvusRole, MilvusUser
from milvus_rbac.api.v1alpha1.claimant import Claim, DeletionPolicy
from milvus_rbac.api.v1alpha1.milvusconnection import Intent, Mode, Server
from milvus_rbac.api.v1alpha1.milvusrole import GrantRow, ObservedGrant
from milvus_rbac.api.v1alpha1.milvususer import MilvusUserStatus, PasswordVersion
from milvus_rbac.api.v1alpha1.names import ConnectionRef
from milvus_rbac.api.v1alpha1.resource import Condition, ConditionStatus
from milvus_rbac.domain.claims import Adoption, Origin
from milvus_rbac.domain.desired import PasswordUpdate

Json = dict[str, Any]

CONNECTION: Json = {"spec": {"uri": "http://milvus:19530", "credentialsSecretRef": {"name": "admin"}}}
USER: Json = {"spec": {"userName": "app", "passwordSecretRef": {"name": "app"}}}
ROLE: Json = {"spec": {"roleName": "reader", "grants": []}}

READY: Json = {
    "type": "Ready",
    "status": "True",
    "observedGeneration": 3,
    "lastTransitionTime": "2026-11-22T10:00:00Z",
    "reason": "Ready",
    "message": "",
}


STATUS: Json = {
    "observedGeneration": 3,
    "claim": {"endpoint": "milvus.milvus:19530", "name": "app", "origin": "Created"},
    "roles": ["reader"],
    "roleCount": 1,
    "password": {"secretUid": "u", "secretResourceVersion": "7"},
    "conditions": [READY],
}


def connection(**spec: Any) -> MilvusConnection:
    return MilvusConnection.model_validate({"spec": CONNECTION["spec"] | spec})


def user(status: Any = None, **spec: Any) -> MilvusUser:
    return MilvusUser.model_validate({"spec": USER["spec"] | spec, "status": status or {}})


def role(status: Any = None, **spec: Any) -> MilvusRole:
    return MilvusRole.model_validate({"spec": ROLE["spec"] | spec, "status": status or {}})


def test_every_kind_has_names_of_its_own() -> None:
    assert len({kind.plural for kind in KINDS}) == len(KINDS)
    assert len({kind.short_name for kind in KINDS}) == len(KINDS)


class TestDefaults:
    def test_a_connection_enforces_every_five_minutes(self) -> None:
        spec = connection().spec
        assert (spec.mode, spec.interval_length) == (Mode.ENFORCE, timedelta(minutes=5))
        assert spec.password_update is PasswordUpdate.AUTO
        assert not spec.bootstrap
        assert not spec.suspend
        assert spec.tls is None
        assert spec.former_uris == ()

    def test_a_user_is_adopted_safely_and_dropped_with_its_resource(self) -> None:
        spec = user().spec
        assert (spec.deletion_policy, spec.adoption) == (DeletionPolicy.DELETE, Adoption.SAFE)
        assert spec.connection_ref is None
        assert spec.password_source.key == "password"
        assert spec.roles == ()
        assert not spec.suspend

    def test_a_grant_without_place_names_none(self) -> None:
        assert role(grants=[{"privileges": ["ListDatabases"]}]).spec.grants == (
            GrantRow(privileges=("ListDatabases",), database=None, collections=None),
        )

    def test_certificates_are_under_the_usual_key(self) -> None:
        tls = connection(uri="https://milvus", tls={"caConfigMapRef": {"name": "ca"}}).spec.tls
        assert tls is not None
        assert tls.ca_config_map_ref is not None
        assert tls.ca_config_map_ref.key == "ca.crt"
        assert tls.ca_secret_ref is None


class TestReading:
    def test_every_field_of_a_user_arrives(self) -> None:
        spec = user(
            connectionRef={"name": "prod", "namespace": "milvus"},
            passwordSecretRef={"name": "app", "key": "pw"},
            roles=["reader", "writer"],
            deletionPolicy="Retain",
            adoption="Never",
            suspend=True,
        ).spec
        assert spec.connection_ref == ConnectionRef(name="prod", namespace="milvus")
        assert (spec.user_name, spec.password_source.key) == ("app", "pw")
        assert spec.roles == ("reader", "writer")
        assert (spec.deletion_policy, spec.adoption) == (DeletionPolicy.RETAIN, Adoption.NEVER)
        assert spec.suspend

    def test_fields_of_a_newer_version_are_ignored(self) -> None:
        assert user(favouriteColour="blue").spec == user().spec

    def test_a_resource_cannot_be_changed(self) -> None:
        with pytest.raises(ValidationError, match="frozen"):
            user().spec.user_name = "other"  # type: ignore[misc]  # that mypy refuses it is the point

    def test_a_spec_can_be_a_key(self) -> None:
        assert len({user().spec, user().spec, user(roles=["reader"]).spec}) == 2

    @pytest.mark.parametrize("body", [{}, {"spec": None}, {"spec": {"roles": []}}, {"status": {}}])
    def test_a_resource_without_its_required_fields_is_refused(self, body: Json) -> None:
        with pytest.raises(ValidationError, match="spec"):
            MilvusUser.model_validate(body)

    def test_a_complaint_names_the_field_as_users_write_it(self) -> None:
        with pytest.raises(ValidationError) as refused:
            user(passwordSecretRef={})
        assert refused.value.errors()[0]["loc"] == ("spec", "passwordSecretRef", "name")


class TestInterval:
    @pytest.mark.parametrize(
        ("text", "length"),
        [
            ("10s", timedelta(seconds=10)),
            ("5m", timedelta(minutes=5)),
            ("1h30m", timedelta(hours=1, minutes=30)),
            ("24h", timedelta(days=1)),
        ],
    )
    def test_an_interval_is_a_length_of_time(self, text: str, length: timedelta) -> None:
        assert connection(interval=text).spec.interval_length == length

    @pytest.mark.parametrize("text", ["", "5", "5 m", "m", "-5m", "1.5h", "5ms", "1d", "5m\n"])
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(ValidationError, match="interval"):
            connection(interval=text)


class TestUri:
    @pytest.mark.parametrize(
        "uri",
        [
            "http://milvus.milvus:19530",
            "https://milvus.milvus.svc.cluster.local",
            "https://in03-0123.serverless.gcp-us-west1.cloud.zilliz.com/",
            "http://10.0.0.1:19530",
            "http://[fd00::1]:19530",
            "http://docker_milvus:19530",
        ],
    )
    def test_an_address_is_taken(self, uri: str) -> None:
        assert connection(uri=uri, formerUris=[uri]).spec.uri == uri

    @pytest.mark.parametrize(
        ("uri", "reason"),
        [
            ("milvus:19530", "no scheme"),
            ("tcp://milvus:19530", "another scheme"),
            ("./milvus.db", "a file of Milvus Lite"),
            ("http://milvus/data/milvus.db", "a path to one"),
            ("unix:/run/milvus.sock", "a socket"),
            ("http://root:Milvus@milvus:19530", "a password that every reader of the resource sees"),
            ("http://milvus:19530/sales", "a path"),
            ("http://milvus:19530?secure=true", "a query"),
            ("http://milvus:", "no port after the colon"),
            ("http://", "no host"),
            (" http://milvus", "a space"),
        ],
    )
    def test_what_is_no_address_is_refused(self, uri: str, reason: str) -> None:
        assert reason
        for field in ({"uri": uri}, {"formerUris": [uri]}):
            with pytest.raises(ValidationError, match=r"(?i)uri"):
                connection(**field)


class TestNames:
    @pytest.mark.parametrize("name", ["a", "App_1", "team-a.reader", "a" * 32])
    def test_a_user_name_is_taken(self, name: str) -> None:
        assert user(userName=name).spec.user_name == name

    @pytest.mark.parametrize("name", ["", "1a", "_a", "a b", "a\n", "ä", "a" * 33])
    def test_a_user_name_that_no_server_takes_is_refused(self, name: str) -> None:
        with pytest.raises(ValidationError, match="userName"):
            user(userName=name)

    @pytest.mark.parametrize("name", ["_reader", "reader$1", "team/reader", "team reader", "r", "a" * 255])
    def test_a_role_name_may_have_what_some_server_allows(self, name: str) -> None:
        assert role(roleName=name).spec.role_name == name

    @pytest.mark.parametrize("name", ["", " reader", "reader ", "1reader", "rea\tder", "reader\n", "a" * 256])
    def test_a_role_name_that_no_server_takes_is_refused(self, name: str) -> None:
        with pytest.raises(ValidationError, match="roleName"):
            role(roleName=name)

    @pytest.mark.parametrize(
        "row",
        [
            {"privileges": []},
            {"privileges": [" Search"]},
            {"privileges": ["Search"], "collections": []},
            {"privileges": ["Search"], "collections": ["orders "]},
            {"privileges": ["Search"], "database": "", "collections": ["*"]},
        ],
    )
    def test_a_grant_that_says_nothing_or_has_spaces_around_is_refused(self, row: Json) -> None:
        with pytest.raises(ValidationError, match="grants"):
            role(grants=[row])


class TestStatus:
    def test_every_field_of_a_users_status_arrives(self) -> None:
        status = user(STATUS).status
        assert status.observed_generation == 3
        assert status.claim == Claim(endpoint="milvus.milvus:19530", name="app", origin=Origin.CREATED)
        assert (status.roles, status.role_count) == (("reader",), 1)
        assert status.password == PasswordVersion.model_validate(STATUS["password"])
        assert (status.password.secret_uid, status.password.secret_resource_version) == ("u", "7")
        assert status.conditions == (
            Condition(
                type="Ready",
                status=ConditionStatus.TRUE,
                observed_generation=3,
                last_transition_time=datetime(2026, 11, 22, 10, tzinfo=UTC),
                reason="Ready",
                message="",
            ),
        )

    def test_every_field_of_a_roles_status_arrives(self) -> None:
        grant = {"objectType": "Collection", "privilege": "Search", "database": "sales", "objectName": "*"}
        status = role({"grants": [grant], "grantCount": 1, "plan": ["create role reader"]}).status
        assert status.grants == (
            ObservedGrant(object_type="Collection", privilege="Search", database="sales", object_name="*"),
        )
        assert (status.grant_count, status.plan) == (1, ("create role reader",))

    def test_every_field_of_a_connections_status_arrives(self) -> None:
        status = MilvusConnection.model_validate(
            CONNECTION
            | {
                "status": {
                    "inFlight": [
                        {"endpoint": "milvus:19530", "uid": "u", "kind": "MilvusUser", "name": "app"}
                    ],
                    "server": {"endpoint": "milvus:19530", "version": "2.3.5", "dialect": "V1"},
                    "userCount": 2,
                    "roleCount": 3,
                    "claimCount": 5,
                    "warnings": [{"reason": "MissingPrivileges", "message": "grant CreateOwnership"}],
                }
            }
        ).status
        assert status.in_flight == (Intent(endpoint="milvus:19530", uid="u", kind="MilvusUser", name="app"),)
        assert status.server == Server(endpoint="milvus:19530", version="2.3.5", dialect="V1")
        assert (status.user_count, status.role_count, status.claim_count) == (2, 3, 5)
        assert [warning.reason for warning in status.warnings] == ["MissingPrivileges"]

    def test_a_status_is_written_as_it_was_read(self) -> None:
        assert user(STATUS).status.model_dump(mode="json", exclude_unset=True) == STATUS

    def test_no_status_is_an_empty_status(self) -> None:
        assert MilvusUser.model_validate(USER).status == MilvusUserStatus()
        assert user().status.observed_generation == -1


class TestSpecs:
    def test_a_spec_alone_is_read_as_within_its_resource(self) -> None:
        assert MilvusConnection.parse_spec(CONNECTION) == connection().spec
        assert MilvusUser.parse_spec(USER | {"status": STATUS}) == user().spec
        assert MilvusRole.parse_spec(ROLE) == role().spec

    def test_a_damaged_status_is_not_even_looked_at(self) -> None:
        spec = MilvusUser.parse_spec(USER | {"status": {"claim": 7}})
        assert spec == user().spec

    def test_its_fields_have_the_names_of_kubernetes(self) -> None:
        spec = MilvusUser.parse_spec({"spec": USER["spec"] | {"deletion_policy": "Retain"}})
        assert spec == user().spec

    @pytest.mark.parametrize("body", [{}, {"spec": None}, {"spec": {"roles": []}}, {"status": {}}])
    def test_without_its_required_fields_it_is_refused(self, body: Json) -> None:
        for kind in KINDS:
            with pytest.raises(ValidationError):
                kind.parse_spec(body)

    def test_an_error_names_its_field(self) -> None:
        with pytest.raises(ValidationError) as caught:
            MilvusUser.parse_spec({"spec": USER["spec"] | {"roles": ["reader", 7]}})
        assert caught.value.errors()[0]["loc"] == ("roles", 1)
