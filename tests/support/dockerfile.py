"""Reads a Dockerfile in the forms that ours uses, and what of the repository its COPY may see."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from string import Template
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCKERFILE: Final = ROOT / "operator" / "Dockerfile"
DOCKERIGNORE: Final = ROOT / ".dockerignore"

_CACHE = re.compile(r"--mount=type=cache,target=(\S+)\s+")


@dataclass(frozen=True)
class Instruction:
    """One instruction, on one line."""

    word: str
    text: str

    @property
    def pairs(self) -> dict[str, str]:
        """The names and values of ENV, LABEL and ARG."""
        split = (part.partition("=") for part in shlex.split(self.text))
        return {name: value for name, _, value in split}

    @property
    def paths(self) -> list[str]:
        """What COPY copies, and where to."""
        return [part for part in self.text.split() if not part.startswith("--")]

    @property
    def stage(self) -> str | None:
        """The stage that COPY takes from; None is the repository."""
        found = re.match(r"--from=(\S+)", self.text)
        return found[1] if found else None

    @property
    def shell(self) -> str:
        """What RUN gives to the shell."""
        return _CACHE.sub("", self.text)

    @property
    def cache(self) -> str | None:
        """The folder of a RUN that outlives it."""
        found = _CACHE.match(self.text)
        return found[1] if found else None

    @property
    def words(self) -> list[str]:
        """The exec form of ENTRYPOINT and CMD."""
        return list(json.loads(self.text))


@dataclass(frozen=True)
class Stage:
    """What follows one FROM."""

    base: str
    name: str | None
    instructions: list[Instruction] = field(default_factory=list)

    def of(self, *words: str) -> list[Instruction]:
        """Its instructions of these kinds."""
        return [one for one in self.instructions if one.word in words]

    def last(self, word: str) -> Instruction:
        """The one of a kind that counts."""
        return self.of(word)[-1]

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """The variables that a container of it has, those of its base given."""
        known = dict(base)
        for one in self.of("ENV"):
            known |= {name: substitute(value, known) for name, value in one.pairs.items()}
        return known


def substitute(text: str, values: Mapping[str, str]) -> str:
    """Replace the variables that are known."""
    return Template(text).safe_substitute(values)


def instructions(text: str) -> Iterator[Instruction]:
    """The instructions of a Dockerfile, without comments and line breaks."""
    kept = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n\s*", "", kept).splitlines():
        if line.strip():
            word, _, rest = line.partition(" ")
            yield Instruction(word, rest.strip())


def stages(text: str) -> list[Stage]:
    """The stages of a Dockerfile; their bases with the arguments' defaults."""
    found: list[Stage] = []
    arguments: dict[str, str] = {}
    for one in instructions(text):
        if one.word == "FROM":
            base, _, name = one.text.partition(" AS ")
            found.append(Stage(substitute(base, arguments), name or None))
        elif found:
            found[-1].instructions.append(one)
        else:
            arguments |= one.pairs
    return found


def is_in_context(path: PurePath, patterns: list[str]) -> bool:
    """Whether Docker may see a file of the repository: the last pattern that fits it or a folder above it decides."""
    seen = True
    for pattern in patterns:
        wanted, plain = pattern.startswith("!"), pattern.lstrip("!")
        if any(_fits(one, plain) for one in (path, *path.parents)):
            seen = wanted
    return seen


def _fits(path: PurePath, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatchcase(path.name, pattern.removeprefix("**/"))
    return len(path.parts) == len(PurePath(pattern).parts) and fnmatchcase(str(path), pattern)


def ignore_patterns() -> list[str]:
    """The lines of .dockerignore."""
    lines = (line.strip() for line in DOCKERIGNORE.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]
