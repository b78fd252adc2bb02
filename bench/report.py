"""The table of a measurement, and what is claimed about it."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from bench.figures import Figures

MOST_WRITES = 2
MOST_RATIO = {1000: 1.35, 5000: 1.25}
"""By the number of users: the operator's time over the bare script's."""
MOST_CPU = {1000: 2.6, 5000: 2.6}
"""By the number of users: the operator's CPU over the bare script's."""
WRITING = ("Create", "Operate", "Update")
OPERATOR, BARE, TUTORIAL = "operator", "bare script", "tutorial operator"


@dataclass(frozen=True, slots=True)
class Size:
    """What all sides came to at one size: by the name of a side, its figures round by round."""

    users: int
    roles: int
    figures: Mapping[str, Sequence[Figures]]

    def ratio(self, side: str, other: str) -> float:
        """Return how many times as long one side took as another of the same round: the median."""
        pairs = zip(self.figures[side], self.figures[other], strict=True)
        return statistics.median(one.took.seconds / two.took.seconds for one, two in pairs)

    def median(self, side: str, value: Callable[[Figures], float]) -> float:
        """Return the median of a figure."""
        return statistics.median(value(one) for one in self.figures[side])


def broken_claims(size: Size) -> list[str]:
    """Return which claims of docs/performance.md are not true at this size."""
    ratio, slower = size.ratio(OPERATOR, BARE), size.ratio(TUTORIAL, OPERATOR)
    cpu = size.median(OPERATOR, _cpu) / size.median(BARE, _cpu)
    writes = max(max(one.writes) for one in size.figures[OPERATOR])
    most_ratio, most_cpu = MOST_RATIO.get(size.users, ratio), MOST_CPU.get(size.users, cpu)
    broken = {
        f"the operator took {ratio:.2f} times as long as the bare script, more than {most_ratio:.2f}": ratio
        > most_ratio,
        f"it took {cpu:.2f} times the CPU of the bare script, more than {most_cpu:.2f}": cpu > most_cpu,
        f"it was not faster than the tutorial operator ({slower:.2f})": slower <= 1,
        f"a resource took {writes} writes, more than {MOST_WRITES}": writes > MOST_WRITES,
    }
    return [f"{size.users} users: {claim}" for claim, is_broken in broken.items() if is_broken]


def _cpu(figures: Figures) -> float:
    return figures.cpu_per_resource


def _writing(figures: Figures) -> int:
    return sum(count for method, count in figures.calls.items() if method.startswith(WRITING))


ROWS: Sequence[tuple[str, str, Callable[[Figures], float]]] = (
    ("all Ready, s", "{:.2f}", lambda one: one.took.seconds),
    ("CPU per resource, ms", "{:.2f}", _cpu),
    ("memory, MiB", "{:.0f}", lambda one: one.took.memory),
    ("other programs, % of the CPU", "{:.0f}", lambda one: 100 * one.took.foreign),
    ("Kubernetes writes per resource", "{:.2f}", lambda one: statistics.mean(one.writes)),
    ("... at most", "{:.0f}", lambda one: max(one.writes)),
    ("... Events", "{:.0f}", lambda one: one.events),
    ("... to anything else", "{:.0f}", lambda one: one.others),
    ("Milvus calls", "{:.0f}", lambda one: one.calls.total()),
    ("... that write", "{:.0f}", _writing),
)


def table(size: Size) -> Table:
    """Return a size's table: medians, and the seconds of each round."""
    rounds = len(next(iter(size.figures.values())))
    title = f"{size.users} users and {size.roles} roles applied at once, medians of {rounds}"
    result = Table(title=title, title_justify="left", show_edge=False)
    result.add_column("")
    for side in size.figures:
        result.add_column(side, justify="right")
    for name, form, value in ROWS:
        result.add_row(name, *(form.format(size.median(side, value)) for side in size.figures))
    result.add_row("each round, s", *(_each(figures) for figures in size.figures.values()))
    result.add_section()
    result.add_row("operator / bare script", f"{size.ratio(OPERATOR, BARE):.2f}")
    result.add_row("tutorial operator / operator", f"{size.ratio(TUTORIAL, OPERATOR):.2f}")
    return result


def _each(figures: Sequence[Figures]) -> str:
    return " ".join(f"{one.took.seconds:.2f}" for one in figures)
