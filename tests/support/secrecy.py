"""Looks for passwords where none may be: in what was written down, however it is wrapped."""

import base64
import json
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from support.operator import OperatorProcess
from testbed.cluster import Cluster


class Search:
    """A search for some passwords in some texts."""

    def __init__(self, passwords: Iterable[str]) -> None:
        self._needles = {needle: password for password in passwords for needle in _disguises(password)}
        self._pattern = re.compile("|".join(re.escape(needle) for needle in self._needles))

    def find(self, texts: Mapping[str, str]) -> list[str]:
        """Name the places with what was found there, once for each password."""
        found = {
            f"{place}: {self._needles[match.group()]} as {match.group()}"
            for place, text in texts.items()
            for match in self._pattern.finditer(text)
        }
        return sorted(found)


def _disguises(password: str) -> Iterator[str]:
    """A text as it may be written: as it is, quoted, in hex, and in base64 whatever stands before it."""
    raw = password.encode()
    yield password
    yield urllib.parse.quote(password, safe="")
    yield raw.hex()
    yield json.dumps(password)[1:-1]
    for shift in range(3):
        # What stands before it (user:password, say) moves the bits: the characters in the middle are its own.
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            encoded = encode(b"\0" * shift + raw).decode().rstrip("=")
            first = (shift * 8 + 5) // 6
            last = (len(raw) + shift) * 8 // 6
            yield encoded[first:last]


def everything_in(cluster: Cluster) -> dict[str, str]:
    """Give every object that there is but Secrets, as the API server has it, by kind, namespace and name."""
    kinds = cluster.kubectl("api-resources", "--verbs=list", "-o", "name").split()
    wanted = ",".join(kind for kind in kinds if kind != "secrets")
    answer = cluster.kubectl("get", wanted, "-A", "-o", "json", "--show-managed-fields")
    texts: dict[str, str] = {}
    for item in json.loads(answer)["items"]:
        metadata = item["metadata"]
        place = f"{item['kind']} {metadata.get('namespace', '')}/{metadata.get('name', '')}"
        texts[place] = texts.get(place, "") + json.dumps(item, ensure_ascii=False)
    return texts


def around(operator: OperatorProcess) -> dict[str, str]:
    """Give what a running operator shows of itself: log, metrics, arguments, environment."""
    process = Path("/proc") / str(operator.process.pid)
    return {
        "log": operator.output,
        "metrics": operator.get("/metrics"),
        "arguments": (process / "cmdline").read_bytes().decode(errors="replace"),
        "environment": (process / "environ").read_bytes().decode(errors="replace"),
    }
