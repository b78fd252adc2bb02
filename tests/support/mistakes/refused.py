"""What the API server refuses on behalf of the definitions, before the operator hears of it."""

from dataclasses import dataclass
from typing import Any, Final

from milvus_rbac.api.v1alpha1 import GROUP, VERSION
from support.kubernetes import KINDS
from testbed.cluster import ApiError, Cluster

Json = dict[str, Any]

SPECS: Final[dict[str, Json]] = {
    "milvusconnections": {"uri": "http://milvus:19530", "credentialsSecretRef": {"name": "admin"}},
    "milvususers": {"userName": "app", "passwordSecretRef": {"name": "app"}},
    "milvusroles": {"roleName": "reader", "grants": []},
    "milvusprivilegegroups": {"groupName": "finders", "privileges": ["Search"]},
}
"""By plural, the smallest spec."""


@dataclass(frozen=True, slots=True)
class Written:
    """Something that nobody should write."""

    what: str
    spec: Json
    """Fields instead of those of the smallest spec; None leaves one out."""
    before: Json | None = None
    """If it is a change, what was there before."""


def grants(*rows: Json) -> Json:
    """Return the part of a spec with these rows."""
    return {"grants": list(rows)}


def delegations(**entry: Any) -> Json:
    """Return the part of a spec with one entry."""
    return {"delegations": [{"namespaces": {"names": ["team"]}, **entry}]}


_LONG: Final = "a" * 256
_SEARCH: Final = {"privileges": ["Search"], "collections": ["*"]}
_GENERATED: Final = {"passwordSecretRef": None, "generatePassword": {"secretName": "app-password"}}

_CLAIMANT: Final = (
    Written("the connection by its name alone", {"connectionRef": "prod"}),
    Written("a connection with capitals", {"connectionRef": {"name": "Prod"}}),
    Written("a connection without a name", {"connectionRef": {"namespace": "milvus"}}),
    Written("a namespace that can't be one", {"connectionRef": {"name": "prod", "namespace": "Milvus_Prod"}}),
    Written("another connection", {"connectionRef": {"name": "test"}}, {"connectionRef": {"name": "prod"}}),
    Written("a connection where there was none", {"connectionRef": {"name": "test"}}, {}),
    Written(
        "a connection in another namespace",
        {"connectionRef": {"name": "prod", "namespace": "milvus"}},
        {"connectionRef": {"name": "prod"}},
    ),
    Written("no connection any more", {"connectionRef": None}, {"connectionRef": {"name": "prod"}}),
    Written("an adoption that there is not", {"adoption": "Sometimes"}),
    Written("a policy of another kind", {"deletionPolicy": "Orphan"}),
    Written("yes for true", {"suspend": "yes"}),
    Written("two lines of description", {"description": "two\nlines"}),
    Written("a description with another end of line", {"description": "two\u2028lines"}),
)
"""What can be wrong with each of the three kinds that claim something; groups have no description."""

REFUSED: Final[dict[str, tuple[Written, ...]]] = {
    "milvusconnections": (
        Written("a host without http://", {"uri": "milvus:19530"}),
        Written("an address without http://", {"uri": "127.0.0.1:19530"}),
        Written("a file of Milvus Lite", {"uri": "./milvus.db"}),
        Written("a socket", {"uri": "unix:/run/milvus.sock"}),
        Written("another scheme", {"uri": "grpc://milvus:19530"}),
        Written("a database in the address", {"uri": "http://milvus:19530/sales"}),
        Written("user and password in the address", {"uri": "http://root:Milvus@milvus"}),
        Written("a port that there is not", {"uri": "http://milvus:99999"}),
        Written("port 0", {"uri": "http://milvus:0"}),
        Written("a space in the host", {"uri": "http://mil vus"}),
        Written("no host", {"uri": "http://"}),
        Written("an IPv6 address without brackets", {"uri": "http://fd00::1"}),
        Written(
            "the address of a global cluster", {"uri": "https://x.global-cluster.vectordb.zillizcloud.com"}
        ),
        Written("no address", {"uri": None}),
        Written("two ways to say where it is", {"milvusRef": {"name": "milvus"}}),
        Written("a Milvus with capitals", {"uri": None, "milvusRef": {"name": "My_Milvus"}}),
        Written("a former address without http://", {"formerUris": ["milvus:19530"]}),
        Written("no account", {"credentialsSecretRef": None}),
        Written("the Secret by its name alone", {"credentialsSecretRef": "admin"}),
        Written("a Secret with capitals", {"credentialsSecretRef": {"name": "Milvus_Admin"}}),
        Written("tls without https", {"tls": {"serverName": "milvus"}}),
        Written(
            "two places for the CA",
            {
                "uri": "https://milvus",
                "tls": {"caSecretRef": {"name": "ca"}, "caConfigMapRef": {"name": "ca"}},
            },
        ),
        Written(
            "a wildcard for the name in the certificate",
            {"uri": "https://milvus", "tls": {"serverName": "*.milvus"}},
        ),
        Written(
            "a key with a space",
            {"uri": "https://milvus", "tls": {"caSecretRef": {"name": "ca", "key": "ca crt"}}},
        ),
        Written("a mode that there is not", {"mode": "Watch"}),
        Written("yes for true", {"bootstrap": "yes"}),
        Written("an interval in words", {"interval": "5 minutes"}),
        Written("hours with a fraction", {"interval": "1.5h"}),
        Written("a number for an interval", {"interval": 300}),
        Written("an interval that is too short", {"interval": "9s"}),
        Written("an interval that is too long", {"interval": "24h1s"}),
        Written("an interval for ever", {"interval": "999999h999999h"}),
        Written("a way to change passwords that there is not", {"passwordUpdate": "Recreate"}),
        Written("a delegation to nobody", delegations(namespaces={})),
        Written("a delegation to one namespace by its name", delegations(namespaces="team")),
        Written("a namespace with a space", delegations(namespaces={"names": ["Team A"]})),
        Written(
            "a selector with In and no values",
            delegations(namespaces={"selector": {"matchExpressions": [{"key": "team", "operator": "In"}]}}),
        ),
        Written("a star in the middle", delegations(userNames=["a*b"])),
        Written("a space before a name", delegations(roleNames=[" a"])),
        Written("the delegation of everything", delegations(privileges=["All"])),
        Written("the delegation of a group of the cluster", delegations(privileges=["ClusterAdmin"])),
        Written("the delegation of the admin", delegations(roles=["admin"])),
        Written("a negative number of users", delegations(maxUsers=-1)),
        Written("a number in words", delegations(maxRoles="ten")),
    ),
    "milvususers": (
        Written("the server's own account", {"userName": "root"}),
        Written("the account of Zilliz Cloud", {"userName": "db_admin"}),
        Written("a digit first", {"userName": "1st"}),
        Written("a space in the name", {"userName": "my app"}),
        Written("an e-mail address", {"userName": "me@example.com"}),
        Written("a name that is too long", {"userName": "a" * 33}),
        Written("no name", {"userName": None}),
        Written("a number for a name", {"userName": 7}),
        Written("another name", {"userName": "other"}, {}),
        Written("no password", {"passwordSecretRef": None}),
        Written("the password itself", {"passwordSecretRef": "Secret-1"}),
        Written("two passwords", {"generatePassword": {"secretName": "app-password"}}),
        Written("a Secret without a name", {"passwordSecretRef": {}}),
        Written("a Secret with capitals", {"passwordSecretRef": {"name": "App_Password"}}),
        Written("a key with a space", {"passwordSecretRef": {"name": "app", "key": "pass word"}}),
        Written("a generated password without a Secret", {"passwordSecretRef": None, "generatePassword": {}}),
        Written("the password's Secret for the connection", {"connectionSecret": {"name": "app"}}),
        Written(
            "the generated password's Secret for the connection",
            {**_GENERATED, "connectionSecret": {"name": "app-password"}},
        ),
        Written(
            "a label with a space",
            {"connectionSecret": {"name": "conn", "metadata": {"labels": {"team": "a b"}}}},
        ),
        Written("public", {"roles": ["public"]}),
        Written("a role twice", {"roles": ["reader", "reader"]}),
        Written("a role for a list of roles", {"roles": "reader"}),
        Written("a space behind a role", {"roles": ["reader "]}),
        Written("a role that reads backwards", {"roles": ["reader\u202e"]}),
        Written("more roles than one user should have", {"roles": [f"r{one}" for one in range(65)]}),
        Written("a day without a time", {"expiresAt": "2027-01-01"}),
        Written("a time long ago", {"expiresAt": "1970-01-01T00:00:00Z"}),
        Written("the year 0", {"expiresAt": "0000-01-01T00:00:00Z"}),
        *_CLAIMANT,
    ),
    "milvusroles": (
        Written("a built-in role", {"roleName": "admin"}),
        Written("a digit first", {"roleName": "1role"}),
        Written("a space before the name", {"roleName": " reader"}),
        Written("a line break behind the name", {"roleName": "reader\n"}),
        Written("a name that colours a terminal", {"roleName": "reader\u009b31m"}),
        Written("a name that is too long", {"roleName": _LONG}),
        Written("no name", {"roleName": None}),
        Written("another name", {"roleName": "other"}, {}),
        Written("no grants", {"grants": None}),
        Written("grants without dashes", {"grants": _SEARCH}),
        Written("a row without privileges", grants({"collections": ["*"]})),
        Written("a row with an empty list of privileges", grants({"privileges": [], "collections": ["*"]})),
        Written("one privilege for a list", grants({"privileges": "Search", "collections": ["*"]})),
        Written("an empty list of collections", grants({"privileges": ["Search"], "collections": []})),
        Written("one collection for a list", grants({"privileges": ["Search"], "collections": "orders"})),
        Written(
            "all collections and one more", grants({"privileges": ["Search"], "collections": ["*", "orders"]})
        ),
        Written(
            "`collection` for `collections`", grants({"privileges": ["Search"], "collection": ["orders"]})
        ),
        Written("`privilege` for `privileges`", grants({"privilege": "Search", "collections": ["*"]})),
        Written(
            "a collection with a hidden character",
            grants({"privileges": ["Search"], "collections": ["or\u0085ders"]}),
        ),
        Written(
            "a database that reads backwards",
            grants({"privileges": ["Search"], "collections": ["*"], "database": "s\u202eelas"}),
        ),
        Written(
            "two databases in one row", grants({"privileges": ["CreateCollection"], "database": ["a", "b"]})
        ),
        Written("a row too many", grants(*([_SEARCH] * 501))),
        *_CLAIMANT,
    ),
    "milvusprivilegegroups": (
        Written("the name of a privilege", {"groupName": "Search"}),
        Written("the name of a built-in group", {"groupName": "CollectionReadOnly"}),
        Written("a dash in the name", {"groupName": "my-group"}),
        Written("a digit first", {"groupName": "1st"}),
        Written("no name", {"groupName": None}),
        Written("another name", {"groupName": "other"}, {}),
        Written("no privileges", {"privileges": None}),
        Written("an empty list of privileges", {"privileges": []}),
        Written("a privilege twice", {"privileges": ["Search", "Search"]}),
        Written("one privilege for a list", {"privileges": "Search"}),
        *(one for one in _CLAIMANT if "description" not in one.spec),
    ),
}
"""By plural."""


def answer(cluster: Cluster, namespace: str, plural: str, written: Written) -> str:
    """Return what the API server says about something written; nothing stays there."""
    name = "example"
    where = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{plural}"
    strict = "fieldValidation=Strict"
    body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": KINDS[plural], "metadata": {"name": name}}
    try:
        if written.before is None:
            spec = {key: one for key, one in (SPECS[plural] | written.spec).items() if one is not None}
            cluster.call("POST", f"{where}?dryRun=All&{strict}", {**body, "spec": spec})
        else:
            cluster.call("POST", where, {**body, "spec": SPECS[plural] | written.before})
            cluster.patch(f"{where}/{name}?dryRun=All&{strict}", {"spec": written.spec})
    except ApiError as error:
        return str(error)
    finally:
        if written.before is not None:
            cluster.call("DELETE", f"{where}/{name}")
    raise AssertionError(f"{plural}: {written.what} is taken")
