"""Apply many users and roles at once: time, CPU, memory, writes and calls of three sides, in turn on the same servers.

`make bench`, or with `.venv/bin/python` and the Makefile's PYTHONPATH: `-m bench.apply --users 1000 --roles 50 --rounds 3`.
"""

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from bench.figures import Figures
from bench.report import Size, broken_claims, table
from bench.servers import Servers, started
from bench.sides import Bare, Operator, Side, Tutorial

ROLES = {200: 20, 1000: 50, 5000: 100}
"""By the number of users that share them; other numbers of users have one role for ten."""
SIDES: Sequence[type[Side]] = (Operator, Bare, Tutorial)
ROUNDS = 3
WARMING = (50, 5)
"""Users and roles of a run that is not counted: the first one on new servers takes long."""


def measure(console: Console, users: int, roles: int, rounds: int) -> Size:
    """Have all sides do the same in each round, each of them first once."""
    figures: dict[str, list[Figures]] = {side.name: [] for side in SIDES}
    for number in range(rounds):
        first = number % len(SIDES)
        with started() as servers:
            Bare(servers).run("warming", *WARMING)
            for side in (*SIDES[first:], *SIDES[:first]):
                figures[side.name].append(_run(console, side, servers, users, roles))
    return Size(users, roles, figures)


def _run(console: Console, side: type[Side], servers: Servers, users: int, roles: int) -> Figures:
    with console.status(f"{users} users: {side.name}"):
        figures = side(servers).run(side.name.replace(" ", "-"), users, roles)
    console.print(f"{users} users: {side.name}, {figures.took.seconds:.2f} s", style="dim")
    return figures


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument(
        "--sizes", type=int, nargs="+", default=list(ROLES), help="users, for instance 200 1000"
    )
    sizes.add_argument("--users", type=int, help="one size only")
    parser.add_argument("--roles", type=int, help="roles that the users share")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each side runs; medians count")
    return parser


def main() -> int:
    """Measure and print; return 1 if what is claimed is not so."""
    options = parser().parse_args()
    console = Console(width=110)
    broken = []
    for users in [options.users] if options.users else options.sizes:
        roles = options.roles or ROLES.get(users, max(1, users // 10))
        size = measure(console, users, roles, options.rounds)
        console.print(table(size))
        broken += broken_claims(size)
    for claim in broken:
        console.print(f"Not as claimed: {claim}.")
    if not broken:
        console.print("As claimed.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
