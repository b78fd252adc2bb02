"""Resources as the API server returns them, for the modules that read them."""

from typing import Any

from milvus_rbac.controller.entry import Entry, read_entry

Json = dict[str, Any]
HERE = "milvus.ns:19530"


def body(kind: str, name: str, spec: Json, status: Json | None = None, **metadata: Any) -> Json:
    """An object; `metadata` adds to or replaces what is usual."""
    usual: Json = {
        "name": name,
        "namespace": "ns",
        "uid": f"uid-{name}",
        "resourceVersion": "10",
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    one: Json = {"kind": kind, "metadata": usual | metadata, "spec": spec}
    return one if status is None else one | {"status": status}


def user(name: str = "app", status: Json | None = None, *, spec: Json | None = None, **metadata: Any) -> Json:
    """A MilvusUser of the connection `prod`, whose user has the resource's name."""
    usual = {"userName": name, "passwordSecretRef": {"name": name}, "connectionRef": {"name": "prod"}}
    return body("MilvusUser", name, usual | (spec or {}), status, **metadata)


def role(
    name: str = "reader", status: Json | None = None, *, spec: Json | None = None, **metadata: Any
) -> Json:
    """A MilvusRole of the connection `prod`."""
    return body(
        "MilvusRole",
        name,
        {"roleName": name, "connectionRef": {"name": "prod"}, "grants": []} | (spec or {}),
        status,
        **metadata,
    )


def connection(
    name: str = "prod", status: Json | None = None, *, spec: Json | None = None, **metadata: Any
) -> Json:
    """A MilvusConnection."""
    usual = {"uri": "http://milvus:19530", "credentialsSecretRef": {"name": "admin"}}
    return body("MilvusConnection", name, usual | (spec or {}), status, **metadata)


def claimed(origin: str = "Created", name: str = "app", endpoint: str = HERE) -> Json:
    """A status that records ownership."""
    return {"observedGeneration": 1, "claim": {"endpoint": endpoint, "name": name, "origin": origin}}


def entry(one: Json) -> Entry:
    """An object as the cache has it."""
    return read_entry(one)
