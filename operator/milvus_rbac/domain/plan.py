"""What a round will do for one claim, and what it will not."""

from dataclasses import dataclass

from milvus_rbac.domain.changes import Change, CreateGroup, CreateRole, CreateUser
from milvus_rbac.domain.claims import Claim, Origin, StaleGrant
from milvus_rbac.domain.conditions import Refusal

CREATES = (CreateUser, CreateRole, CreateGroup)
"""What makes an object that was not there."""


@dataclass(frozen=True, slots=True)
class ClaimPlan:
    """What will be done for one claim, and what will not."""

    claim: Claim
    changes: tuple[Change, ...] = ()
    withheld: tuple[Change, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    origin: Origin | None = None
    """How the object is ours once the changes are done; None: it is not."""
    left_behind: bool = False
    """The resource goes and its object stays in Milvus."""
    stale: frozenset[StaleGrant] = frozenset()
    """Of a group: what has to be taken from the proxies, and is written down before the group loses anything."""

    @property
    def creates(self) -> bool:
        """Whether an intent must be written before the first change."""
        return any(isinstance(change, CREATES) for change in self.changes)
