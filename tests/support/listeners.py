"""Finds servers that other machines could reach: no server of a test may be one, for its passwords are public."""

import os
import re
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

_LISTENING: Final = "0A"
_MOST_LETTERS: Final = 200
_SOCKET: Final = re.compile(r"socket:\[(\d+)\]")


class Listeners:
    """The listeners of some processes in this process's network, for instance of a test and all that it started."""

    def __init__(self, processes: Callable[[], Iterable[int]]) -> None:
        self._processes = processes
        self._foreign: set[int] = set()
        """Sockets of others: they stay so, and need not be looked for among our processes again."""

    def exposed(self) -> list[str]:
        """Return those beyond the loopback interface, as address and port, process id and command line."""
        sockets = {inode: address for inode, address in _beyond_loopback() if inode not in self._foreign}
        if not sockets:
            return []
        found = []
        for pid in self._processes():
            for inode in _sockets_of(pid) & sockets.keys():
                command = " ".join(_read(Path(f"/proc/{pid}/cmdline")).replace("\0", " ").split())
                found.append(f"{sockets[inode]} of process {pid}: {command[:_MOST_LETTERS]}")
                del sockets[inode]
        self._foreign |= sockets.keys()
        return found


def own_processes() -> list[int]:
    """Return this process and all that descend from it."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for folder in Path("/proc").glob("[0-9]*"):
        if status := _read(folder / "stat"):
            children[int(status.rpartition(")")[2].split()[1])].append(int(folder.name))
    found = [os.getpid()]
    for pid in found:
        found += children[pid]
    return found


def _beyond_loopback() -> Iterator[tuple[int, str]]:
    """Yield inode and address of the listening sockets that are not on the loopback interface."""
    for name in ("tcp", "tcp6"):
        for line in _read(Path("/proc/net") / name).splitlines()[1:]:
            fields = line.split()
            if fields[3] != _LISTENING:
                continue
            host, port = fields[1].split(":")
            address = _address(host)
            if not address.is_loopback:
                yield int(fields[9]), f"{address} port {int(port, 16)}"


def _address(text: str) -> IPv4Address | IPv6Address:
    """Return an address that the kernel prints as numbers of four bytes in this machine's order."""
    numbers = [int(text[start : start + 8], 16) for start in range(0, len(text), 8)]
    packed = struct.pack(f"={len(numbers)}I", *numbers)
    if len(numbers) == 1:
        return IPv4Address(packed)
    address = IPv6Address(packed)
    return address.ipv4_mapped or address


def _sockets_of(pid: int) -> set[int]:
    found = set()
    with suppress(OSError):  # it ended meanwhile
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if match := _SOCKET.fullmatch(os.readlink(descriptor)):  # noqa: PTH115 - the target is no path
                    found.add(int(match[1]))
    return found


def _read(file: Path) -> str:
    """Return what the kernel says, or nothing: processes end, and not every system has these files."""
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
