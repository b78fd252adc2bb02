"""Somebody who reads a page of the documentation and does what it says, block by block."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from house.repository import blocks_of
from testbed.cluster import Cluster

ROOT = Path(__file__).parents[2]
_TYPED = re.compile(r"^ *\$ (.*)$", re.MULTILINE)


def blocks(page: Path, heading: str) -> list[str]:
    """The commands under a heading of the second level."""
    section = re.split(r"^## ", page.read_text(), flags=re.MULTILINE)
    (text,) = (one for one in section if one.startswith(f"{heading}\n"))
    return commands(text)


def commands(text: str) -> list[str]:
    """All commands of a text: blocks of bash, and what is typed in a console."""
    found = (block for block in blocks_of(text) if block[0] in {"bash", "console"})
    return [block if language == "bash" else "\n".join(_TYPED.findall(block)) for language, block in found]


class Reader:
    """Has kubectl and helm, and a cluster; puts its own names where the page has others."""

    def __init__(self, cluster: Cluster, folder: Path, own: Mapping[str, str]) -> None:
        self._own = own
        tools = folder / "bin"
        tools.mkdir()
        for tool in (cluster.facts.kubectl, cluster.facts.helm):
            (tools / tool.name).symlink_to(tool)
        self._environment = {
            **os.environ,
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "KUBECONFIG": str(cluster.kubeconfig),
            "HOME": str(folder),
        }

    def does(self, commands: str | Sequence[str]) -> str:
        """Run a block, or several; give what was printed. The first command that fails fails the test."""
        text = commands if isinstance(commands, str) else "\n".join(commands)
        for theirs, ours in self._own.items():
            text = text.replace(theirs, ours)
        script = ["bash", "-euo", "pipefail", "-c", text]
        done = subprocess.run(
            script, cwd=ROOT, env=self._environment, capture_output=True, text=True, timeout=150, check=False
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout
