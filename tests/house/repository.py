"""What the house rules look at: the files of this repository as git knows them, and the blocks of its documents."""

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
SAMPLES: Final = ROOT / "manifests" / "samples"


@cache
def files() -> tuple[Path, ...]:
    """Every file that is committed, or would be."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return tuple(sorted({path for name in listing.splitlines() if (path := ROOT / name).is_file()}))


def documents() -> list[Path]:
    """All that is written for people."""
    return [path for path in files() if path.suffix == ".md"]


def sources(*folders: str) -> list[Path]:
    """All Python below these folders."""
    return [path for path in files() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in folders]


def name_of(path: Path) -> str:
    """A path as it is written in a message."""
    return str(path.relative_to(ROOT))


def prose(document: Path) -> str:
    """A document without its blocks of code."""
    return re.sub(r"^( *)```.*?^\1```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)


def blocks(document: Path) -> list[tuple[str, str]]:
    """The blocks of a document, each with the language that it names, if any."""
    return blocks_of(document.read_text())


def blocks_of(text: str) -> list[tuple[str, str]]:
    """The blocks of a part of a document."""
    return re.findall(r"^ *```(\w*)\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)


def blocks_in(document: Path, language: str) -> list[str]:
    """The blocks of a document that are in one language."""
    return [text for named, text in blocks(document) if named == language]


def headings(document: Path, level: int) -> list[str]:
    """The headings of one level."""
    return re.findall(rf"^{'#' * level} (.+)$", prose(document), re.MULTILINE)
