"""What one turn does for a claim: first what would make Milvus agree with it, then what is left of that and why."""

from dataclasses import dataclass

from milvus_rbac.domain.changes import CREATES, Change
from milvus_rbac.domain.claims import Claim, Origin, StaleGrant
from milvus_rbac.domain.conditions import Refusal
from milvus_rbac.domain.desired import Desired


@dataclass(frozen=True, slots=True)
class Proposal:
    """The changes that would make the server agree with one claim, before any of them is withheld."""

    desired: Desired
    changes: tuple[Change, ...]
    stale: frozenset[StaleGrant] = frozenset()
    """For a group: what the proxies give, or will give after the changes, although no grant does."""


@dataclass(frozen=True, slots=True)
class ClaimPlan:
    """The changes that will be made for one claim, and those that will not."""

    claim: Claim
    changes: tuple[Change, ...] = ()
    withheld: tuple[Change, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    origin: Origin | None = None
    """How the object is ours once the changes are made; None if it is not."""
    left_behind: bool = False
    """Whether the object stays in Milvus although its resource is deleted."""
    firm: frozenset[Change] = frozenset()
    """Changes that take something whatever else can't be done: what is not permitted, or came by hand."""
    stale: frozenset[StaleGrant] = frozenset()
    """For a group: what must be cleared from the proxies. It is written down before the group loses anything."""

    @property
    def creates(self) -> bool:
        """Whether an intent must be written before the first change."""
        return any(isinstance(change, CREATES) for change in self.changes)
