"""Every module of the controller is tested where that takes seconds: by a unit, property or controller test."""

import re
from pathlib import Path

import pytest

from house.repository import ROOT, name_of, sources

PACKAGE = ROOT / "operator" / "milvus_rbac" / "controller"
MODULES = [
    path for path in sources("operator") if path.is_relative_to(PACKAGE) and path.name != "__init__.py"
]
FAST = ("unit", "properties", "controller")
TESTS = [path for path in sources("tests") if path.relative_to(ROOT).parts[1] in FAST]


def imported_modules(source: str) -> set[str]:
    """The modules of the controller that a test, or what it shares with others, imports: by either form of import."""
    found = set(re.findall(r"^\s*(?:from|import) milvus_rbac\.controller\.([\w.]+)", source, re.MULTILINE))
    for names in re.findall(
        r"^\s*from milvus_rbac\.controller import (\([^)]*\)|[^\n]*)", source, re.MULTILINE
    ):
        found |= set(re.findall(r"(\w+)(?: as \w+)?", names))
    return found


def test_both_forms_of_import_are_seen() -> None:
    source = "from milvus_rbac.controller import cache, status as reports\nfrom milvus_rbac.controller.events import a\n"
    assert {"cache", "status", "events"} <= imported_modules(source)
    assert "metrics" not in imported_modules(source)


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_module_of_the_controller_is_imported_by_a_fast_test(module: Path) -> None:
    name = ".".join(module.relative_to(PACKAGE).with_suffix("").parts)
    assert any(name in imported_modules(test.read_text()) for test in TESTS)
