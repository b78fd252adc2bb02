"""Writes the generated parts of the documentation: `python -m tools.docgen`, or with `--check` only compares them.

A generated part stands between two comments, `<!-- NAME: generated -->` and `<!-- end -->`.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import yaml

from milvus_rbac.domain.privileges import CATALOGUE, Level, Privilege
from tools.milvus_support import ABILITIES, LINES

ROOT: Final = Path(__file__).parents[1]
CHART: Final = ROOT / "helm" / "milvus-rbac-operator"
_PART: Final = re.compile(r"(<!-- (?P<name>[\w-]+): generated -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    """Write every generated part, or fail and name the stale ones."""
    stale = []
    for page in (*sorted((ROOT / "docs").glob("*.md")), CHART / "README.md"):
        text = page.read_text()
        fresh = _PART.sub(lambda part: f"{part[1]}\n{PARTS[part['name']]()}\n\n{part[3]}", text)
        if fresh == text:
            continue
        stale.append(page.name)
        if "--check" not in sys.argv:
            page.write_text(fresh)
    if stale and "--check" in sys.argv:
        sys.exit(f"Run `make generate` and commit what it writes; stale: {', '.join(stale)}")


def privileges() -> str:
    """Return the table of privileges, by what they are about and by the first version that has them."""
    listed: dict[tuple[str, str], list[str]] = {}
    for row in CATALOGUE:
        if not row.group:
            listed.setdefault((_about(row), _line(row)), []).append(row.name)
    rows = [
        f"| {about} | {line} | {_code(sorted(names))} |" for (about, line), names in sorted(listed.items())
    ]
    return "\n".join(("| about | since | names |", "|---|---|---|", *rows))


def builtin_groups() -> str:
    """Return the table of the built-in groups of Milvus."""
    rows = ["| about | names |", "|---|---|"]
    groups = (row for row in CATALOGUE if row.group)
    for level, members in groupby(groups, key=lambda row: row.level):
        rows.append(f"| {_ABOUT[level or Level.CLUSTER]} | {_code(one.name for one in members)} |")
    return "\n".join(rows)


def servers() -> str:
    """Return the table of what each line of servers can do, and of what the operator does where it can't."""
    rows = [
        f"| {ability.what} | {' | '.join('yes' if ability.has(line) else 'no' for line in LINES.values())} | {ability.instead} |"
        for ability in ABILITIES
    ]
    head = f"| | {' | '.join(LINES)} | where not, the operator |"
    return "\n".join((head, "|---|" + "---|" * (len(LINES) + 1), *rows))


def values() -> str:
    """Return the table of the chart's values: default, and description from the schema."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    rows = _rows_of_values(schema["properties"], defaults, "")
    return "\n".join(("| value | default | meaning |", "|---|---|---|", *rows))


PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "privileges": privileges,
    "builtin-groups": builtin_groups,
    "servers": servers,
    "values": values,
}

_ABOUT: Final = {
    Level.COLLECTION: "a collection",
    Level.DATABASE: "a whole database",
    Level.CLUSTER: "the cluster",
}


def _rows_of_values(properties: Mapping[str, Any], defaults: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, schema in properties.items():
        if name not in defaults:
            continue
        shown = "" if "properties" in schema else f"`{json.dumps(defaults[name])}`"
        yield f"| `{prefix}{name}` | {shown} | {schema['description']} |"
        yield from _rows_of_values(schema.get("properties", {}), defaults[name], f"{prefix}{name}.")


def _about(row: Privilege) -> str:
    if row.level is None:
        return "everything in one database"
    return "a whole database, whatever the collection" if row.whole_database else _ABOUT[row.level]


def _line(row: Privilege) -> str:
    # Servers older than 2.3 are not served.
    return ".".join(str(part) for part in max(row.since[:2], (2, 3)))


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    main()
