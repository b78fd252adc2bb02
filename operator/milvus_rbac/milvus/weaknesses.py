"""What is known to be wrong with versions of Milvus, as far as it weakens access control. Data: a new one is a row."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from milvus_rbac.milvus.features import parse_version

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Weakness:
    """Something that lets in whom nobody let in."""

    what: str
    source: str
    """Where it is written down."""
    mended: tuple[Version, ...]
    """The first good version of each line, oldest first; lines before the first never were mended."""
    meanwhile: str
    """What helps until the upgrade."""

    def affects(self, version: Version) -> bool:
        """Tell whether a version has it."""
        lines = [good for good in self.mended if good[:2] == version[:2]]
        return version < (lines[0] if lines else self.mended[0])


WEAKNESSES: Final = (
    Weakness(
        "a request with a certain sourceId header needs no login",
        "CVE-2025-64513",
        ((2, 4, 24), (2, 5, 21), (2, 6, 5)),
        "let only trusted Pods reach its port",
    ),
    Weakness(
        "port 9091 serves a part of the API without a login",
        "CVE-2026-26190",
        ((2, 5, 27), (2, 6, 10)),
        "expose port 9091 to nobody but Prometheus",
    ),
)


def weaknesses_of(version: str) -> Iterator[Weakness]:
    """Name what a version is known for; nothing of builds that do not say which they are."""
    parsed = parse_version(version)
    return (one for one in WEAKNESSES if parsed is not None and one.affects(parsed))
