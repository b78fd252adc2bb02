"""What the operator says in the condition Ready of a resource that the API server took."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from support.controller_bed import HOME, LIMITS, ROOT_PASSWORD, ControllerBed
from support.double.settings import ServerSettings
from support.double.store import Account, Kept

Json = dict[str, Any]
Prepare = Callable[[ControllerBed], object]
Apply = Callable[[ControllerBed, str], str]
"""Applies a resource of a name, with what it needs; returns its plural."""

TEAM: Final = "team"
REF: Final = {"connectionRef": {"name": "prod", "namespace": HOME}}
QUERY: Final = {"privileges": ["Query"], "collections": ["orders"]}
ENTRY: Final[Json] = {
    "namespaces": {"names": [TEAM]},
    "userNames": ["team_*"],
    "roleNames": ["team_*"],
    "databases": ["default"],
    "privileges": ["Query"],
    "maxUsers": 2,
}


@dataclass(frozen=True, slots=True)
class Told:
    """One mistake, the reason that it is told with, and how it is made."""

    what: str
    reason: str
    apply: Apply
    namespace: str = HOME
    before: Prepare | None = None
    """Makes what is there before."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Mistakes that can be made beside each other on one server."""

    title: str
    told: Mapping[str, Told]
    """By the name of the resource."""
    dress: str = "3.0"
    server: ServerSettings = LIMITS
    settings: Json = field(default_factory=dict)
    """Of the operator."""
    prepare: Prepare = ControllerBed.connect


def _role(*rows: Json, **spec: Any) -> Apply:
    def apply(bed: ControllerBed, name: str) -> str:
        bed.role(name, list(rows), **spec)
        return "milvusroles"

    return apply


def _row(*privileges: str, **place: Any) -> Apply:
    return _role({"privileges": list(privileges), **place})


def _user(secret: Mapping[str, bytes] | None = None, type_: str = "Opaque", **spec: Any) -> Apply:
    """Apply a MilvusUser; with its own Secret, or with none if `secret` is empty."""

    def apply(bed: ControllerBed, name: str) -> str:
        if secret:
            data = {key: base64.b64encode(value).decode() for key, value in secret.items()}
            bed.kube.apply("secrets", HOME, name, {"type": type_, "data": data})
        whole = {
            **REF,
            "userName": name.replace("-", "_"),
            "passwordSecretRef": {"name": name},
            "roles": [],
            **spec,
        }
        bed.kube.apply("milvususers", HOME, name, {"spec": whole})
        return "milvususers"

    return apply


def _made(**spec: Any) -> Apply:
    """Apply a MilvusUser with a good Secret."""
    return _user({"password": b"a-password"}, **spec)


def _group(*privileges: str, **spec: Any) -> Apply:
    def apply(bed: ControllerBed, name: str) -> str:
        whole = {**REF, "groupName": name.replace("-", "_"), "privileges": list(privileges), **spec}
        bed.kube.apply("milvusprivilegegroups", HOME, name, {"spec": whole})
        return "milvusprivilegegroups"

    return apply


def _connection(secret: Mapping[str, str] | None = None, **spec: Any) -> Apply:
    """Apply a MilvusConnection to the double; with its own Secret, or with none if `secret` is empty."""

    def apply(bed: ControllerBed, name: str) -> str:
        if secret:
            bed.secret(name, **secret)
        whole = {"uri": bed.double.uri, "credentialsSecretRef": {"name": name}, **spec}
        bed.kube.apply("milvusconnections", HOME, name, {"spec": whole})
        return "milvusconnections"

    return apply


def _user_of_team(bed: ControllerBed, name: str) -> str:
    bed.user(name, TEAM)
    return "milvususers"


def _hand_made_role(name: str, *privileges: str) -> Prepare:
    def make(bed: ControllerBed) -> None:
        bed.double.core.store.roles[name] = ""
        for privilege in privileges:
            bed.double.core.store.give(name, Kept("Collection", "default", "orders", privilege), "root")

    return make


def _hand_made_user(name: str, password: str = "another-one", *roles: str) -> Prepare:
    def make(bed: ControllerBed) -> None:
        bed.double.core.store.users[name] = Account(password, roles=set(roles))

    return make


def _foreign_secret(name: str) -> Prepare:
    return lambda bed: bed.secret(name, password="somebody-else-s")


def _admin() -> dict[str, str]:
    return {"username": "root", "password": ROOT_PASSWORD}


def _delegate(bed: ControllerBed) -> None:
    bed.connect(delegations=[ENTRY])
    _hand_made_role("team_by_hand", "Query", "Search")(bed)
    _hand_made_user("team_boss", "a-password", "admin")(bed)


def _stored(plural: str, **spec: Any) -> Apply:
    """Apply a resource as an older definition took it."""

    def apply(bed: ControllerBed, name: str) -> str:
        bed.kube.apply(plural, HOME, name, {"spec": {**REF, **spec}})
        return plural

    return apply


_ROWS: Final = {
    "typo": Told("a typo in a privilege", "UnknownPrivilege", _row("Query", "Serch", collections=["orders"])),
    "typos": Told(
        "the same typo in many rows",
        "UnknownPrivilege",
        _role(*({"privileges": ["Serch"], "collections": [f"c{one}"]} for one in range(12))),
    ),
    "prefix": Told(
        "a privilege with the prefix that Milvus stores",
        "UnknownPrivilege",
        _row("PrivilegeInsert", collections=["orders"]),
    ),
    "capitals": Told(
        "a privilege without its capitals", "UnknownPrivilege", _row("createindex", collections=["orders"])
    ),
    "nonsense": Told("a privilege that there is not", "UnknownPrivilege", _row("Xyzzy", collections=["*"])),
    "sql": Told("a word of SQL", "UnknownPrivilege", _row("SELECT", collections=["*"])),
    "no-place": Told("a privilege on collections without any", "InvalidScope", _row("Search")),
    "cluster-place": Told(
        "a privilege of the cluster with collections",
        "InvalidScope",
        _row("CreateOwnership", collections=["orders"]),
    ),
    "cluster-database": Told(
        "a privilege of the cluster in a database", "InvalidScope", _row("SelectUser", database="default")
    ),
    "database-place": Told(
        "a privilege of a database with collections",
        "InvalidScope",
        _row("CreateCollection", collections=["orders"]),
    ),
    "whole-database": Told(
        "one collection where Milvus knows only all of them",
        "InvalidScope",
        _row("ShowCollections", collections=["orders"]),
    ),
    "everything": Told("All without a database", "InvalidScope", _row("All")),
    "anywhere": Told(
        "one collection in every database",
        "InvalidScope",
        _row("Search", database="*", collections=["orders"]),
    ),
    "mixed-row": Told(
        "privileges of two levels in one row",
        "InvalidScope",
        _row("Search", "CreateCollection", collections=["orders"]),
    ),
    "group-level": Told(
        "a built-in group of a database with collections",
        "InvalidScope",
        _row("DatabaseReadOnly", collections=["orders"]),
    ),
    "missing-collection": Told(
        "a collection that Milvus does not have", "Ready", _row("Search", collections=["odrers"])
    ),
    "missing-database": Told(
        "a database that Milvus does not have",
        "InvalidScope",
        _row("Search", database="sales", collections=["orders"]),
    ),
    "collection-name": Told(
        "a collection of a name that Milvus does not take",
        "InvalidScope",
        _row("Search", collections=["my-orders"]),
    ),
    "too-many": Told(
        "more grants than one role may have",
        "LimitReached",
        _role(
            *(
                {"privileges": [privilege], "collections": [f"c{number}" for number in range(256)]}
                for privilege in ("Query", "Search", "Insert", "Delete", "Upsert")
                for _ in range(8)
            )
        ),
    ),
    "hyphen-name": Told("a roleName with a dash", "InvalidName", _role(QUERY, roleName="analytics-reader")),
    "null-grants": Told(
        "no grants, stored when they could be left out",
        "InvalidSpec",
        _stored("milvusroles", roleName="null_grants"),
    ),
    "long-description": Told(
        "a description of more bytes than Milvus takes", "InvalidName", _role(QUERY, description="é" * 1000)
    ),
}

_OWNERS: Final = {
    "by-hand": Told(
        "a role of that name with more grants, made by hand",
        "Conflict",
        _role(QUERY),
        before=_hand_made_role("by_hand", "Query", "Search"),
    ),
    "never": Told(
        "a role of that name, and adoption: Never",
        "Conflict",
        _role(QUERY, adoption="Never"),
        before=_hand_made_role("never", "Query"),
    ),
    "a-second": Told(
        "a roleName that another MilvusRole has",
        "Conflict",
        _role(QUERY, roleName="first"),
        before=lambda bed: bed.role("a-first", [QUERY], roleName="first"),
    ),
    "old-password": Told(
        "a user of that name with another password",
        "Conflict",
        _made(),
        before=_hand_made_user("old_password"),
    ),
    "more-roles": Told(
        "a user of that name with more roles",
        "Conflict",
        _made(),
        before=_hand_made_user("more_roles", "a-password", "admin"),
    ),
    "operator-account": Told(
        "a userName of the server's own",
        "ReservedName",
        _stored("milvususers", userName="root", passwordSecretRef={"name": "reader"}, roles=[]),
    ),
}

_PASSWORDS: Final = {
    "no-secret": Told("no Secret of that name", "WaitingForSecret", _user()),
    "other-key": Told("another key in the Secret", "SecretKeyMissing", _user({"pass": b"a-password"})),
    "empty": Told("an empty password", "SecretEmpty", _user({"password": b""})),
    "binary": Told("a password that is no text", "SecretNotUTF8", _user({"password": b"\xff\xfe123456"})),
    "line-break": Told(
        "a line break behind the password", "SecretTrailingNewline", _user({"password": b"a-password\n"})
    ),
    "short": Told("a password that is too short", "PasswordTooShort", _user({"password": b"abcde"})),
    "long": Told("a password that is too long", "PasswordTooLong", _user({"password": b"a" * 73})),
    "tls-secret": Told(
        "a Secret with a certificate", "NotPermitted", _user({"password": b"a-password"}, "kubernetes.io/tls")
    ),
    "token-secret": Told(
        "a Secret with a token of Kubernetes",
        "NotPermitted",
        _user({"token": b"a-password"}, "kubernetes.io/service-account-token"),
    ),
    "taken-secret": Told(
        "a generated password into somebody else's Secret",
        "Conflict",
        _user(passwordSecretRef=None, generatePassword={"secretName": "theirs"}),
        before=_foreign_secret("theirs"),
    ),
    "taken-connection": Told(
        "a connectionSecret that is somebody else's",
        "Conflict",
        _made(connectionSecret={"name": "also-theirs"}),
        before=_foreign_secret("also-theirs"),
    ),
}

_ROLES: Final = {
    "no-role": Told("a role that there is not", "WaitingForRole", _made(roles=["movr"])),
    "no-roles": Told(
        "many roles that there are not", "WaitingForRole", _made(roles=[f"r{one}" for one in range(12)])
    ),
    "resource-name": Told(
        "the name of a MilvusRole for its roleName",
        "WaitingForRole",
        _made(roles=["a-reader"]),
        before=lambda bed: bed.role("a-reader", [QUERY]),
    ),
    "public": Told("public, stored when that was taken", "ReservedName", _made(roles=["public"])),
    "over": Told("a time that is over", "Expired", _made(expiresAt="2026-01-01T00:00:00Z")),
    "halted": Told("suspend", "Suspended", _made(suspend=True)),
}

_GROUPS: Final = {
    "group-typo": Told("a typo in a group", "UnknownPrivilege", _group("Search", "Serch")),
    "two-levels": Told("privileges of two levels", "InvalidScope", _group("Search", "CreateCollection")),
    "all-in-group": Told("All in a group", "InvalidScope", _group("All")),
    "group-in-group": Told("a built-in group in a group", "InvalidScope", _group("CollectionReadOnly")),
    "group-resource": Told(
        "in a role: the name of a MilvusPrivilegeGroup for its groupName",
        "UnknownPrivilege",
        _row("my-finders", collections=["*"]),
        before=lambda bed: _group("Search", groupName="finders")(bed, "my-finders"),
    ),
    "group-waits": Told(
        "in a role: a group that can't be made yet",
        "WaitingForPrivilegeGroup",
        _row("two_levels", collections=["*"]),
    ),
}

_CONNECTIONS: Final = {
    "no-account": Told("no Secret of that name", "WaitingForSecret", _connection()),
    "no-username": Told(
        "a Secret without a username", "SecretKeyMissing", _connection({"password": ROOT_PASSWORD})
    ),
    "no-password": Told("a Secret without a password", "SecretKeyMissing", _connection({"username": "root"})),
    "line-break-account": Told(
        "a line break behind the password",
        "SecretTrailingNewline",
        _connection({"username": "root", "password": f"{ROOT_PASSWORD}\n"}),
    ),
    "wrong-password": Told(
        "another password", "CredentialsRejected", _connection({"username": "root", "password": "wrong-one"})
    ),
    "no-host": Told(
        "a host that there is not", "Unreachable", _connection(_admin(), uri="http://milvus.invalid:19530")
    ),
    "short-host": Told(
        "a Service that there is not", "Unreachable", _connection(_admin(), uri="http://milvsu:19530")
    ),
    "no-tls": Told(
        "https where the server speaks http",
        "TLSMismatch",
        lambda bed, name: _connection(_admin(), uri=bed.double.uri.replace("http:", "https:"))(bed, name),
    ),
    "no-ca": Told(
        "a CA that there is not",
        "WaitingForSecret",
        _connection(_admin(), uri="https://milvus:19530", tls={"caSecretRef": {"name": "no-ca-there"}}),
    ),
    "no-milvus": Told(
        "a milvusRef that there is not",
        "Unreachable",
        _connection(_admin(), uri=None, milvusRef={"name": "milvsu"}),
    ),
    "paused": Told("suspend", "Suspended", _connection(_admin(), suspend=True)),
}

_REFS: Final = {
    "no-ref": Told(
        "no connectionRef, and no default",
        "NoDefaultConnection",
        _role(QUERY, connectionRef=None),
    ),
    "no-connection": Told(
        "a connection that there is not", "WaitingForConnection", _role(QUERY, connectionRef={"name": "prdo"})
    ),
    "not-delegated": Told(
        "a connection of another namespace that delegates nothing",
        "NotPermitted",
        _role(QUERY, namespace="stranger"),
        "stranger",
    ),
}

_TENANTS: Final = {
    "team-user": Told("nothing, for comparison", "Ready", _user_of_team, TEAM),
    "team-second": Told("one user more than maxUsers", "LimitReached", _user_of_team, TEAM),
    "other": Told("a name that is not delegated", "NotPermitted", _role(namespace=TEAM), TEAM),
    "team-search": Told(
        "a privilege that is not delegated",
        "NotPermitted",
        _role({"privileges": ["Search"], "collections": ["orders"]}, namespace=TEAM),
        TEAM,
    ),
    "team-cluster": Told(
        "a privilege that reaches beyond databases",
        "NotPermitted",
        _role({"privileges": ["ManageOwnership"]}, namespace=TEAM),
        TEAM,
    ),
    "team-sales": Told(
        "a database that is not delegated",
        "NotPermitted",
        _role({**QUERY, "database": "sales"}, namespace=TEAM),
        TEAM,
    ),
    "team-retain": Told(
        "Retain without mayRetain", "NotPermitted", _role(namespace=TEAM, deletionPolicy="Retain"), TEAM
    ),
    "team-by-hand": Told(
        "a role that was made by hand", "Conflict", _role(QUERY, namespace=TEAM, adoption="Always"), TEAM
    ),
}

SCENES: Final = (
    Scene("The grants of a MilvusRole", _ROWS, "2.6"),
    Scene("What is in Milvus already", _OWNERS),
    Scene("The Secret of a MilvusUser", _PASSWORDS),
    Scene("The roles and the life of a MilvusUser", _ROLES),
    Scene("A MilvusPrivilegeGroup", _GROUPS),
    Scene(
        "A Milvus of an older version: 2.3",
        {
            "old-group": Told(
                "a built-in group", "UnsupportedByServer", _row("CollectionReadOnly", collections=["*"])
            ),
            "old-near": Told(
                "nearly a built-in group", "UnknownPrivilege", _row("ReadOnly", collections=["*"])
            ),
            "old-own-group": Told("a MilvusPrivilegeGroup", "UnsupportedByServer", _group("Search")),
            "old-granted-group": Told(
                "a group of one's own in a role",
                "UnsupportedByServer",
                _row("old_own_group", collections=["*"]),
            ),
            "old-privilege": Told(
                "a privilege that came later",
                "UnsupportedByServer",
                _row("GetImportProgress", collections=["*"]),
            ),
            "old-user-name": Told("a userName with a dash", "InvalidName", _made(userName="my-app")),
        },
        "2.3",
    ),
    Scene("The account and the address of a MilvusConnection", _CONNECTIONS, prepare=lambda _: None),
    Scene(
        "An account that may do nothing",  # it holds the address, so the connections above are elsewhere
        {
            "no-rights": Told(
                "an account without rights",
                "MissingPrivileges",
                _connection({"username": "nobody", "password": "a-password"}),
                before=_hand_made_user("nobody", "a-password"),
            ),
        },
        prepare=lambda _: None,
    ),
    Scene(
        "What the operator's settings let a MilvusConnection do",
        {"elsewhere": Told("an address that is not allowed", "NotPermitted", _connection(_admin()))},
        settings={"allowed_endpoints": ("milvus.example.com:*",)},
        prepare=lambda _: None,
    ),
    Scene(
        "A Milvus before 2.3",
        {"prod": Told("a version that is too old", "UnsupportedByServer", _connection(_admin()))},
        "2.2",
        prepare=lambda _: None,
    ),
    Scene(
        "A Milvus without authorization",
        {"open": Told("authorizationEnabled: false", "AuthorizationOff", _connection(_admin()))},
        server=replace(LIMITS, authorization_enabled=False),
        prepare=lambda _: None,
    ),
    Scene(
        "The connectionRef of a resource",
        _REFS,
    ),
    Scene("Another namespace", _TENANTS, prepare=_delegate),
    Scene(
        "A Milvus that takes no more",
        {"ninth": Told("a role more than maxRoleNum", "LimitReached", _role(QUERY))},
        server=replace(LIMITS, max_role_num=2),
    ),
    Scene(
        "A MilvusConnection with mode: Observe",
        {"planned": Told("nothing, for comparison", "Observed", _role(QUERY))},
        prepare=lambda bed: bed.connect(mode="Observe"),
    ),
)
