"""Everything that a connection's reconciler remembers about the claims on it, by the uid of their resource.

One record a claim, and one `forget`: a claim that is gone leaves nothing behind.
"""

import random
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from milvus_rbac.api.v1alpha1.names import PasswordSecretRef
from milvus_rbac.domain import contention
from milvus_rbac.domain.changes import Change
from milvus_rbac.domain.claims import SecretVersion
from milvus_rbac.domain.conditions import Refusal
from milvus_rbac.domain.contention import Contention, Need
from milvus_rbac.domain.plan import Proposal
from milvus_rbac.milvus.port import Password

FIRST_BACKOFF: Final = 1.0
LONGEST_BACKOFF: Final = 300.0
"""Seconds until a claim that failed is reconciled again: doubled each time, jittered."""


MOST_STUCK: Final = 20
"""So many are told of at most."""


class Wait(NamedTuple):
    """What a claim waits for in Milvus, or what may make room for it."""

    what: Literal["role", "owner", "group", "holders", "limit"]
    """`owner`: a MilvusRole of the user's namespace that owns the role; `holders`: no role holds the group any more."""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a Secret's key held: a version with its text, or what is wrong with it."""

    version: SecretVersion | None = None
    password: Password | None = None
    previous: Password | None = None
    """What the Secret says was in force before, under the key previous-password."""
    refusal: Refusal | None = None
    previous_refusal: Refusal | None = None
    """Why what was in force before can't be as the Secret says."""


@dataclass(slots=True)
class Backoff:
    """When to try again what keeps failing."""

    failures: int = 0
    """How often running it has failed."""

    def backoff(self, at_least: float | None = None) -> float:
        """Count a failure and return the seconds after which to try again.

        Args:
            at_least: the seconds that a server asked for (Retry-After).
        """
        pause = min(FIRST_BACKOFF * 2 ** min(self.failures, 16), LONGEST_BACKOFF)
        self.failures += 1
        return max(jittered(pause), at_least or 0.0)


@dataclass(slots=True)
class ClaimMemory(Backoff):
    """What is remembered about one claim, failures of its own included. After a restart it is found out again."""

    decided_again: int = 0
    """How often running it was decided anew at once because the world was not as observed."""
    is_suspect: bool = False
    """A change of it was not answered in time: it is reconciled alone, behind the others."""
    waits_since: float | None = None
    """Since when, on the monotonic clock, its status would only report a wait."""
    progress_told_at: float = 0.0
    """When, on the monotonic clock, its status last said how many changes are left."""
    is_create_withdrawn: bool = False
    """The intent that status.inFlight has for it means nothing any more."""
    asked: PasswordSecretRef | None = None
    reading: Reading = field(default_factory=Reading)
    """What the Secret held when it was last read, as `asked`."""
    in_force: Password | None = None
    """The text that the server accepted last."""
    not_in_force: set[Password] = field(default_factory=set)
    generated: tuple[object, ...] | None = None
    """The version of the generated Secret that was found in order, and as what."""
    bound: tuple[object, ...] | None = None
    """The version of the application's Secret that was found in order, and as what."""
    is_rotation_put_off: bool = False
    """A rotation waits for the one before it to have reached Milvus."""
    made: frozenset[Change] = frozenset()
    """Which changes were made for it: only what was made can be undone by another client."""
    contentions: dict[Change, Contention] = field(default_factory=dict)
    waits: set[Wait] = field(default_factory=set)
    stuck: str = ""
    """What it has without leave and Milvus does not let be taken; empty if nothing."""
    looked_up: int | None = None
    """Of a role, the generation of the spec of which is known whether Milvus has what its grants name."""
    looked_up_at: float = 0.0
    """When, on the monotonic clock, that was last asked."""

    def remember(self, password: Password) -> None:
        """Note that the server accepts this password."""
        self.in_force = password
        self.not_in_force.clear()

    def is_in_force(self, wanted: Reading) -> bool:
        """Return whether the wanted text is known to be in force: a new version with the same text is no rotation."""
        return wanted.password is not None and self.in_force == wanted.password

    def old_password(self, wanted: Reading) -> Password | None:
        """Return a text that may be the one in force and is not the wanted one."""
        useless = {wanted.password, *self.not_in_force}
        candidates = (self.in_force, wanted.previous)
        return next((text for text in candidates if text is not None and text not in useless), None)


class Memory:
    """The claims of one connection. `of` is the only way to a record, `forget` the only way out."""

    def __init__(self) -> None:
        self._claims: dict[str, ClaimMemory] = {}
        self._waiters: defaultdict[Wait, set[str]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._claims) + len(self._waiters)

    def of(self, uid: str) -> ClaimMemory:
        """Return the record of a claim, a new one where there is none."""
        return self._claims.setdefault(uid, ClaimMemory())

    def stuck(self) -> tuple[str, ...]:
        """Return what claims have without leave and Milvus does not let be taken."""
        return tuple(sorted(one.stuck for one in self._claims.values() if one.stuck))[:MOST_STUCK]

    def forget(self, uid: str) -> None:
        """Forget everything about a claim whose resource is gone."""
        record = self._claims.pop(uid, None)
        for wait in record.waits if record else ():
            self._waiters[wait].discard(uid)
            if not self._waiters[wait]:
                del self._waiters[wait]

    def renew(self, uid: str) -> None:
        """Forget failures and contention of a claim: its spec, its Secret or an annotation that asks for something has changed."""
        record = self._claims.get(uid)
        if record is not None:
            record.failures = record.decided_again = 0
            record.is_suspect = False
            record.made = frozenset()
            record.contentions.clear()

    # --- waits

    def wait(self, uid: str, wait: Wait) -> None:
        """Remember that a claim waits for something."""
        self.of(uid).waits.add(wait)
        self._waiters[wait].add(uid)

    def wake(self, wait: Wait) -> frozenset[str]:
        """Return which claims have waited for something that is there now; none waits for it any more."""
        uids = frozenset(self._waiters.pop(wait, ()))
        for uid in uids:
            self.of(uid).waits.discard(wait)
        return uids

    def awaited(self, what: str) -> list[Wait]:
        """Return what claims wait for in this way."""
        return [wait for wait in self._waiters if wait.what == what]

    # --- withdrawn intents

    def withdrawn(self) -> frozenset[str]:
        """Return the claims whose intents are to be taken out of status.inFlight."""
        return frozenset(uid for uid, one in self._claims.items() if one.is_create_withdrawn)

    def withdraw(self, uids: Iterable[str]) -> None:
        """Note that what these claims were about to create is not theirs."""
        for uid in uids:
            self.of(uid).is_create_withdrawn = True

    def withdrawal_is_written(self, uids: Iterable[str]) -> None:
        """Note that these intents are taken out."""
        for uid in uids:
            self.of(uid).is_create_withdrawn = False

    # --- contention

    def note_made(self, done: Mapping[str, Sequence[Change]]) -> None:
        """Remember which changes were made for each claim."""
        for uid, changes in done.items():
            if changes:
                record = self.of(uid)
                record.made |= frozenset(changes)

    def contested(
        self, proposals: Sequence[Proposal], by_interval: Collection[str], interval: float
    ) -> frozenset[Need]:
        """Count which changes an interval's look needs again, and return those that are held off.

        Args:
            proposals: what is needed now.
            by_interval: the claims (uids) that are looked at because their interval is over.
            interval: its length in seconds.
        """
        now = time.monotonic()
        for proposal in proposals:
            uid = proposal.desired.claim.ref.uid
            if uid in by_interval:
                self._count(self.of(uid), proposal.changes, interval, now)
        return frozenset(
            (proposal.desired.claim.ref.uid, change)
            for proposal in proposals
            for change, one in self.of(proposal.desired.claim.ref.uid).contentions.items()
            if one.until > now
        )

    def _count(self, record: ClaimMemory, changes: Iterable[Change], interval: float, now: float) -> None:
        undone = [
            change
            for change in changes
            if change in record.made
            or (change in record.contentions and record.contentions[change].holds > 0)
        ]
        known = {("", change): one for change, one in record.contentions.items()}
        counted = contention.watch(known, [("", change) for change in undone], interval, now)
        record.contentions = {change: one for (_, change), one in counted.items()}
        record.made -= frozenset(undone)


def jittered(seconds: float) -> float:
    """Return about so many seconds, so that not everything is tried again at the same moment."""
    return seconds * random.uniform(0.75, 1.25)  # noqa: S311 - jitter, not a secret
