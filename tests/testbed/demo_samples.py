"""The samples that the demo applies, led to the demo's own Milvus, and what they say."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from testbed.demo_narrator import expect

INTERVAL = "10s"
"""How often the operator looks for what was changed by hand; the shortest that the API takes, so that nobody waits long."""

NEWER = {"MilvusPrivilegeGroup"}
"""What the demo's Milvus, a 2.3, does not have."""

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Samples:
    """One namespace with one connection, one role and one user, as manifests/samples has them."""

    folder: Path
    """What is applied."""
    namespace: str
    connection: str
    admin: str
    admin_password: str
    admin_secret: str
    role: str
    """The role's name in Milvus."""
    user: str
    """The user's name in Milvus."""
    user_secret: str
    user_resource: str
    password: str


def load(folder: Path, target: Path, uri: str) -> Samples:
    """Copies the samples to `target` with another address, and reads what the story needs to know."""
    documents: list[Manifest] = []
    for path in sorted(folder.glob("*.yaml")):
        manifests = [one for one in yaml.safe_load_all(path.read_text()) if one and one["kind"] not in NEWER]
        if not manifests:
            continue
        for manifest in manifests:
            if manifest["kind"] == "MilvusConnection":
                manifest["spec"] |= {"uri": uri, "interval": INTERVAL}
        (target / path.name).write_text(yaml.safe_dump_all(manifests, sort_keys=False))
        documents += manifests
    return _read(documents, target)


def _read(documents: list[Manifest], folder: Path) -> Samples:
    connection, role, user = (
        _only(documents, kind) for kind in ("MilvusConnection", "MilvusRole", "MilvusUser")
    )
    admin_secret = connection["spec"]["credentialsSecretRef"]["name"]
    user_secret = user["spec"]["passwordSecretRef"]["name"]
    admin = _named(documents, "Secret", admin_secret)["stringData"]
    return Samples(
        folder=folder,
        namespace=connection["metadata"]["namespace"],
        connection=connection["metadata"]["name"],
        admin=admin["username"],
        admin_password=admin["password"],
        admin_secret=admin_secret,
        role=role["spec"]["roleName"],
        user=user["spec"]["userName"],
        user_secret=user_secret,
        user_resource=user["metadata"]["name"],
        password=_named(documents, "Secret", user_secret)["stringData"]["password"],
    )


def _only(documents: list[Manifest], kind: str) -> Manifest:
    found = [one for one in documents if one["kind"] == kind]
    expect(len(found) == 1, f"the samples have {len(found)} of kind {kind} instead of one")
    return found[0]


def _named(documents: list[Manifest], kind: str, name: str) -> Manifest:
    found = [one for one in documents if one["kind"] == kind and one["metadata"]["name"] == name]
    expect(found, f"the samples have no {kind} {name}")
    return found[0]
