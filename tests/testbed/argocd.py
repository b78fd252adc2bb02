"""Argo CD's customizations of our kinds, from the Lua in manifests/argocd: `python -m testbed.argocd`, or `--check` to compare.

Argo CD takes them from one ConfigMap, and its keys know no wildcards: each kind has a copy of the same scripts.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from milvus_rbac.api.v1alpha1 import GROUP, KINDS, Resource
from milvus_rbac.api.v1alpha1.milvusconnection import MilvusConnection
from milvus_rbac.api.v1alpha1.milvususer import MilvusUser

FOLDER: Final = Path(__file__).parents[2] / "manifests" / "argocd"
CONFIG_MAP: Final = FOLDER / "argocd-cm.yaml"
HEADER: Final = (
    "# Generated from the Lua in this folder by `python -m testbed.argocd`; changes here are overwritten.\n"
)


def main() -> None:
    """Write the ConfigMap, or say that it is stale and fail."""
    if "--check" not in sys.argv:
        CONFIG_MAP.write_text(render())
    elif CONFIG_MAP.read_text() != render():
        sys.exit(f"{CONFIG_MAP.name} is stale: run `python -m testbed.argocd` and commit what it writes")


def render() -> str:
    """Write the ConfigMap's file."""
    labels = {"app.kubernetes.io/name": "argocd-cm", "app.kubernetes.io/part-of": "argocd"}
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "argocd-cm", "namespace": "argocd", "labels": labels},
        "data": dict(_customizations()),
    }
    return HEADER + _dump(config_map)


def actions_of(kind: type[Resource]) -> Iterator[str]:
    """Name the actions of a kind, as discovery.lua offers them."""
    yield "reconcile"
    if kind is MilvusUser:
        yield "rotate"
    if kind is not MilvusConnection:
        yield "orphan"
        yield "unorphan"


def _customizations() -> Iterator[tuple[str, str]]:
    for kind in KINDS:
        yield f"resource.customizations.health.{GROUP}_{kind.__name__}", _script("health")
        definitions = [{"name": name, "action.lua": _script(f"actions/{name}")} for name in actions_of(kind)]
        offered = {"discovery.lua": _script("actions/discovery"), "definitions": definitions}
        yield f"resource.customizations.actions.{GROUP}_{kind.__name__}", _dump(offered)


def _script(name: str) -> str:
    return (FOLDER / f"{name}.lua").read_text()


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they are."""


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, "|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def _dump(value: Mapping[str, Any]) -> str:
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True))


if __name__ == "__main__":
    main()
