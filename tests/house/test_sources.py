"""The sources about themselves: where things are, how long they are, and what is not in them."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from house.repository import ROOT, files, name_of, sources

MOST_LINES, MOST_FUNCTION_LINES = 480, 60
PRODUCT = sources("operator", "tools")
EVERYTHING = sources("operator", "tools", "tests", "bench")
TESTS = [path for path in sources("tests") if path.name.startswith("test_")]

COMMAND_LINE = ROOT / "operator" / "milvus_rbac" / "cli"
NOQA = re.compile(r"#\s*(?:ruff:\s*)?noqa(?P<rest>.*)")
NOQA_WITH_REASON = re.compile(r": [A-Z]+\d+(, [A-Z]+\d+)* --? \w")
IGNORE = re.compile(r"#\s*type:\s*ignore(?P<rest>.*)")
IGNORE_WITH_REASON = re.compile(r"\[[\w-]+(, ?[\w-]+)*\]\s*# \w")

product = pytest.mark.parametrize("path", PRODUCT, ids=name_of)
every_source = pytest.mark.parametrize("path", EVERYTHING, ids=name_of)


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def unexplained(path: Path, marker: re.Pattern[str], explained: re.Pattern[str]) -> list[str]:
    return [
        line.strip()
        for line in path.read_text().splitlines()
        if (found := marker.search(line)) and not explained.match(found["rest"])
    ]


def test_the_folder_operator_is_no_package() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()


@product
def test_a_file_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES


@product
def test_a_function_is_short(path: Path) -> None:
    lengths = {node.name: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions(path)}
    assert {name: length for name, length in lengths.items() if length > MOST_FUNCTION_LINES} == {}


@pytest.mark.parametrize("path", [path for path in PRODUCT if path.parent.name == "domain"], ids=name_of)
def test_the_domain_imports_only_the_standard_library_and_itself(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    foreign = {name for name in imported if name.partition(".")[0] not in sys.stdlib_module_names}
    assert all(name.startswith("milvus_rbac.domain") for name in foreign)


@product
def test_only_the_command_line_prints(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    printed = [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
    assert printed == [] or path.is_relative_to(COMMAND_LINE)


@every_source
def test_an_exception_from_a_rule_has_a_reason(path: Path) -> None:
    if path == Path(__file__):
        pytest.skip("it has the patterns themselves")
    assert unexplained(path, NOQA, NOQA_WITH_REASON) == []
    assert unexplained(path, IGNORE, IGNORE_WITH_REASON) == []


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_a_test_is_named_by_its_promise(path: Path) -> None:
    """By a sentence, that is; a name of one or two words says only what is looked at."""
    names = [node.name for node in functions(path) if node.name.startswith("test")]
    assert names
    assert [name for name in names if not re.fullmatch(r"test_\w+_\w+_\w+", name)] == []


@pytest.mark.parametrize("path", EVERYTHING, ids=name_of)
def test_nothing_is_mocked(path: Path) -> None:
    imported = re.findall(r"^\s*(?:from|import) (\S+)", path.read_text(), re.MULTILINE)
    assert [name for name in imported if name.startswith(("unittest.mock", "mock"))] == []


def test_no_file_names_a_registry() -> None:
    """Where packages come from is the machine's business; a lock that names a host works on that machine only."""
    hosts = {
        ".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("proxy", "golang", "org"))
    }
    found = named_in_files(*hosts, *own_registries())
    assert found == []


def test_no_file_names_a_place_on_this_machine() -> None:
    places = {str(ROOT), f"{Path.home()}/", *(f"/{name}/" for name in ("work", "root", "home"))}
    assert named_in_files(*places) == []


def test_a_host_or_a_place_would_be_found_within_an_address(tmp_path: Path) -> None:
    host = "registry.example"
    for text in (f"https://{host}/simple", f"https://files.{host}/x", f"GOPROXY=http://user@{host}", host):
        (tmp_path / "file").write_text(text)
        assert named_in(tmp_path / "file", host), text
    (tmp_path / "file").write_text(f"other{host}")
    assert not named_in(tmp_path / "file", host)


def own_registries() -> set[str]:
    """The hosts that this machine gets its packages from."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    told += " ".join(value for name, value in os.environ.items() if name in {"PIP_INDEX_URL", "GOPROXY"})
    hosts = {urlsplit(url).hostname for url in re.findall(r"https?://[^\s'\",|]+", told)}
    return {host for host in hosts if host and host not in {"localhost", "127.0.0.1"}}


def named_in_files(*words: str) -> list[str]:
    """Which files name one of these."""
    return [f"{name_of(path)}: {found}" for path in files() if (found := named_in(path, *words))]


def named_in(path: Path, *words: str) -> str:
    """Which of these words a file names first, alone or within an address, but not as the end of a longer word."""
    pattern = re.compile("|".join(rf"(?<![\w-]){re.escape(word)}" for word in words))
    found = pattern.search(path.read_text(errors="replace"))
    return found[0] if found else ""
