"""Argo CD's side: manifests in Git, and customizations in a Lua as narrow as Argo CD's, with what it makes of their answers.

What follows is how Argo CD's util/lua/lua.go does it: the object is the global `obj`; there are the libraries base and table, and
`os` (time and date only) for who requires it, but neither string nor math; and an empty table of an answer is an empty list.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import yaml
from lupa.lua51 import LuaRuntime, lua_type

from house.repository import blocks_in
from milvus_rbac.api.v1alpha1 import GROUP, VERSION
from testbed.argocd import CONFIG_MAP

Json = dict[str, Any]

STATUSES: Final = ("Healthy", "Progressing", "Degraded", "Suspended")

PAGE: Final = Path(__file__).parents[2] / "docs" / "argocd.md"

_NARROW: Final = """
local time, date = os.time, os.date
local kept = {_G = 1, _VERSION = 1, table = 1, assert = 1, error = 1, getmetatable = 1, ipairs = 1, next = 1, pairs = 1, pcall = 1,
  rawequal = 1, rawget = 1, rawset = 1, select = 1, setmetatable = 1, tonumber = 1, tostring = 1, type = 1, unpack = 1, xpcall = 1}
getmetatable("").__index = nil
for name in pairs(_G) do
  if not kept[name] then _G[name] = nil end
end
function require(name)
  if name ~= "os" then error("module " .. name .. " not found") end
  return {time = time, date = date}
end
"""


_IN_GIT: Final = """
- kind: MilvusConnection
  name: prod
  spec:
    uri: URI
    credentialsSecretRef: {name: milvus-admin}
    bootstrap: false
    mode: Enforce
    interval: 1h30m
    passwordUpdate: InPlace
    formerUris: ["http://b:19530", "http://a:19530"]
    suspend: false
    delegations:
      - namespaces:
          names: [team-a]
          selector:
            matchLabels: {team: a}
            matchExpressions: [{key: tier, operator: In, values: [silver, gold]}]
        userNames: ["a_*"]
        roleNames: ["a_*"]
        databases: [a]
        privileges: [Search, Query]
        roles: [shared]
        mayAdopt: true
        mayRetain: true
        maxUsers: 20
        maxRoles: 10
        acceptWeakIsolation: false
      - namespaces: {names: [team-b]}
- kind: MilvusConnection
  name: by-ref
  spec:
    milvusRef: {name: milvus, namespace: NAMESPACE}
    credentialsSecretRef: {name: milvus-admin}
    tls:
      caSecretRef: {name: ca, key: root.pem}
      clientCertSecretRef: {name: client}
      serverName: milvus.example.com
    suspend: true
- kind: MilvusConnection
  name: by-tls
  spec:
    uri: https://milvus:443
    credentialsSecretRef: {name: milvus-admin}
    tls:
      caConfigMapRef: {name: ca, key: root.pem}
    suspend: true
- kind: MilvusPrivilegeGroup
  name: finders
  spec:
    connectionRef: {name: prod, namespace: NAMESPACE}
    adoption: Safe
    deletionPolicy: Delete
    suspend: false
    groupName: finders
    privileges: [Search, Query]
- kind: MilvusRole
  name: reader
  spec:
    connectionRef: {name: prod, namespace: NAMESPACE}
    adoption: Always
    deletionPolicy: Retain
    suspend: false
    roleName: reader
    description: Reads.
    grants:
      - privileges: [finders]
        database: default
        collections: [z, a]
      - privileges: [ListDatabases]
- kind: MilvusUser
  name: app
  spec:
    connectionRef: {name: prod, namespace: NAMESPACE}
    adoption: Never
    deletionPolicy: Delete
    suspend: false
    userName: app
    description: An application.
    generatePassword:
      secretName: app-password
      metadata: {labels: {team: a}, annotations: {owner: jo}}
    connectionSecret:
      name: app-milvus
      metadata: {labels: {team: a}, annotations: {owner: jo}}
    expiresAt: "2099-01-01T01:00:00+01:00"
    roles: [reader]
- kind: MilvusUser
  name: old
  spec:
    connectionRef: {name: prod}
    userName: old
    passwordSecretRef: {name: old, key: milvus}
"""


def in_git(namespace: str, uri: str) -> list[Json]:
    """Resources in which every field of every spec is used; those that need what is not here are suspended."""
    text = _IN_GIT.replace("NAMESPACE", namespace).replace("URI", uri)
    return [
        {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": one["kind"],
            # Argo CD knows by this label what it manages.
            "metadata": {
                "name": one["name"],
                "namespace": namespace,
                "labels": {"app.kubernetes.io/instance": "milvus"},
            },
            "spec": one["spec"],
        }
        for one in yaml.safe_load(text)
    ]


def blocks(language: str) -> list[str]:
    """The blocks of the page about Argo CD in one language; `yml` are those of kinds that no server of the test bed knows."""
    return blocks_in(PAGE, language)


@dataclass(frozen=True)
class Health:
    """What Argo CD shows beside a resource."""

    status: str
    message: str


class ArgoCD:
    """An Argo CD that knows nothing but what one ConfigMap tells it."""

    def __init__(self, data: Mapping[str, str]) -> None:
        self._data = data

    @classmethod
    def of_the_manifests(cls) -> Self:
        """One with our ConfigMap."""
        return cls(yaml.safe_load(CONFIG_MAP.read_text())["data"])

    def health(self, body: Json) -> Health:
        """Assess a resource."""
        answer = run(self._data[f"resource.customizations.health.{GROUP}_{body['kind']}"], body)
        health = Health(**answer)
        assert health.status in STATUSES
        return health

    def offered(self, body: Json) -> dict[str, bool]:
        """The actions that are shown for a resource, and which of them can be chosen."""
        found = run(self._actions(body)["discovery.lua"], body)
        names = {one["name"] for one in self._actions(body)["definitions"]}
        assert found.keys() == names, "every action that is offered is defined, and the other way round"
        return {name: not action.get("disabled", False) for name, action in found.items()}

    def patch(self, body: Json, action: str) -> Json:
        """The merge patch that Argo CD sends when somebody chooses an action."""
        assert self.offered(body)[action], f"{action} can't be chosen"
        (script,) = (one["action.lua"] for one in self._actions(body)["definitions"] if one["name"] == action)
        return difference(body, _restored(run(script, body), body))

    def _actions(self, body: Json) -> Any:
        return yaml.safe_load(self._data[f"resource.customizations.actions.{GROUP}_{body['kind']}"])


def run(script: str, body: Json) -> Any:
    """Run a script on a resource; give what it returns, as JSON."""
    lua = LuaRuntime(register_eval=False, register_builtins=False)
    lua.execute(_NARROW)
    lua.globals()["obj"] = lua.table_from(body, recursive=True)
    return _plain(lua.execute(script))


def difference(old: Json, new: Json) -> Json:
    """The merge patch from one object to another."""
    patch: Json = dict.fromkeys(old.keys() - new.keys())
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            if inner := difference(before, value):
                patch[key] = inner
        elif key not in old or value != before:
            patch[key] = value
    return patch


def _plain(value: Any) -> Any:
    if lua_type(value) != "table":
        return value
    keys = list(value)
    if not keys or isinstance(keys[0], int):
        return [_plain(value[index + 1]) for index in range(len(keys))]
    return {key: _plain(value[key]) for key in keys}


def _restored(new: Any, old: Any) -> Any:
    """Give back the empty objects that Lua could not tell from empty lists."""
    if new == [] and isinstance(old, dict):
        return old
    if isinstance(new, dict) and isinstance(old, dict):
        return {key: _restored(value, old.get(key)) for key, value in new.items()}
    if isinstance(new, list) and isinstance(old, list):
        known = [*old, *[None] * len(new)]
        return [_restored(value, known[index]) for index, value in enumerate(new)]
    return new
