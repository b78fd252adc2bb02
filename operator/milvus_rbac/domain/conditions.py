"""All reasons, and how refusals become the conditions of a status."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import Self

from milvus_rbac.domain.text import listed, printable


class Reason(StrEnum):
    """Why a condition has its status. Events carry the same reasons; docs/troubleshooting.md has an entry for each."""

    READY = "Ready"
    WAITING_FOR_SECRET = "WaitingForSecret"
    WAITING_FOR_ROLE = "WaitingForRole"
    WAITING_FOR_PRIVILEGE_GROUP = "WaitingForPrivilegeGroup"
    WAITING_FOR_CONNECTION = "WaitingForConnection"
    SECRET_KEY_MISSING = "SecretKeyMissing"
    SECRET_EMPTY = "SecretEmpty"
    SECRET_NOT_UTF8 = "SecretNotUTF8"
    SECRET_TRAILING_NEWLINE = "SecretTrailingNewline"
    PASSWORD_TOO_SHORT = "PasswordTooShort"
    PASSWORD_TOO_LONG = "PasswordTooLong"
    PASSWORD_TOO_WEAK = "PasswordTooWeak"
    UNKNOWN_PRIVILEGE = "UnknownPrivilege"
    INVALID_SCOPE = "InvalidScope"
    INVALID_NAME = "InvalidName"
    INVALID_SPEC = "InvalidSpec"
    RESERVED_NAME = "ReservedName"
    CONFLICT = "Conflict"
    CONTESTED = "Contested"
    NOT_PERMITTED = "NotPermitted"
    UNSUPPORTED_BY_SERVER = "UnsupportedByServer"
    LIMIT_REACHED = "LimitReached"
    OLD_PASSWORD_UNKNOWN = "OldPasswordUnknown"
    CREDENTIALS_REJECTED = "CredentialsRejected"
    UNREACHABLE = "Unreachable"
    TLS_MISMATCH = "TLSMismatch"
    AUTHORIZATION_OFF = "AuthorizationOff"
    MISSING_PRIVILEGES = "MissingPrivileges"
    KNOWN_WEAKNESS = "KnownWeakness"
    NO_DEFAULT_CONNECTION = "NoDefaultConnection"
    PENDING = "Pending"
    SUSPENDED = "Suspended"
    EXPIRED = "Expired"
    OBSERVED = "Observed"
    DELETING = "Deleting"
    DELETION_BLOCKED = "DeletionBlocked"
    IN_USE = "InUse"
    INTERNAL_ERROR = "InternalError"


class Patience(Enum):
    """What a reason other than Ready waits for, and so which kstatus condition is set beside Ready."""

    STALLED = "Stalled"
    """A person has to change something."""
    WAITING = "Reconciling"
    """It resolves itself when something else appears or comes back."""
    QUIET = ""
    """It is what the spec asks for: nothing is wrong and nothing is under way."""


_WAITING = {
    Reason.WAITING_FOR_SECRET,
    Reason.WAITING_FOR_ROLE,
    Reason.WAITING_FOR_PRIVILEGE_GROUP,
    Reason.WAITING_FOR_CONNECTION,
    Reason.PENDING,
    Reason.UNREACHABLE,
    Reason.DELETING,
    Reason.DELETION_BLOCKED,
    Reason.INTERNAL_ERROR,
}
_QUIET = {Reason.READY, Reason.SUSPENDED, Reason.EXPIRED, Reason.OBSERVED}


_ORDER = (Patience.STALLED, Patience.QUIET, Patience.WAITING)


def patience(reason: str) -> Patience:
    """Return what a reason waits for. A reason of a newer operator, unknown here, counts as stalled."""
    if reason in _WAITING:
        return Patience.WAITING
    if reason in _QUIET:
        return Patience.QUIET
    return Patience.STALLED


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something is not done: a reason, and one sentence that names the field or object and what to do."""

    reason: Reason
    message: str
    about: tuple[int, int] | None = None
    """Begin and end of the part of the message that differs where the same is wrong with others: those become one sentence with a count."""

    @classmethod
    def naming(cls, reason: Reason, before: str, name: str, after: str) -> Self:
        """Return the refusal whose message is these three in a row, and of which only the name differs."""
        return cls(reason, f"{before}{name}{after}", (len(before), len(before) + len(name)))


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a resource, as in the Kubernetes API."""

    type: str
    status: str
    reason: str
    message: str
    observed_generation: int
    last_transition_time: str = ""

    @property
    def matches_milvus(self) -> bool:
        """Whether Milvus is as the resource asks, and not only left as somebody wished."""
        return self.status == "True" and self.reason == Reason.READY


READY_TYPE = "Ready"
PASSWORD_TYPE = "PasswordSynced"
DRIFTED_TYPE = "Drifted"
STALLED_TYPE = "Stalled"
RECONCILING_TYPE = "Reconciling"

MESSAGE_LIMIT = 1024
"""Longer messages are cut, because every resource keeps its messages in etcd."""


def summarize_ready(refusals: Sequence[Refusal], success: str, generation: int) -> tuple[Condition, ...]:
    """Return the condition Ready and, only while it is true, Stalled or Reconciling.

    What a person must change comes first. The first refusal gives the reason, and all of them give the message.
    What is as somebody asked for is Ready with a reason of its own, whatever it would wait for otherwise: kstatus calls everything
    else in progress or failed.
    """
    ordered = sorted(refusals, key=lambda refusal: _ORDER.index(patience(refusal.reason)))
    if not ordered:
        return (_condition(READY_TYPE, "True", Reason.READY, success, generation),)
    reason = ordered[0].reason
    message = " ".join(_sentences(ordered))
    beside = patience(reason)
    if beside is Patience.QUIET:
        return (_condition(READY_TYPE, "True", reason, message, generation),)
    ready = _condition(READY_TYPE, "False", reason, message, generation)
    return (ready, _condition(beside.value, "True", reason, message, generation))


_ROW = re.compile(r"spec\.\w+\[\d+\](?=: )")


def _sentences(refusals: Iterable[Refusal]) -> list[str]:
    """Return what is wrong, the same trouble of several rows or names in one sentence."""
    same: dict[str, dict[str, None]] = {}
    for refusal in refusals:
        row = _ROW.match(refusal.message)
        begin, end = refusal.about or (row.span() if row else (0, 0))
        text = refusal.message
        same.setdefault(f"{text[:begin]}\0{text[end:]}", {})[text[begin:end]] = None
    return [template.replace("\0", listed(list(about))) for template, about in same.items()]


def summarize_password(refusal: Refusal | None, generation: int) -> Condition:
    """Return the condition that says whether the Secret's password is in force."""
    if refusal is None:
        return _condition(
            PASSWORD_TYPE, "True", Reason.READY, "The password of the Secret is in force.", generation
        )
    return _condition(PASSWORD_TYPE, "False", refusal.reason, refusal.message, generation)


def summarize_drift(plan: Sequence[str], generation: int) -> Condition:
    """Return the condition that says, in mode Observe, whether Milvus differs from the resource."""
    if plan:
        message = f"{len(plan)} changes would be made; status.plan lists them."
        return _condition(DRIFTED_TYPE, "True", Reason.OBSERVED, message, generation)
    return _condition(DRIFTED_TYPE, "False", Reason.OBSERVED, "Milvus is as the resource asks.", generation)


def settle(previous: Iterable[Condition], wanted: Iterable[Condition], now: str) -> tuple[Condition, ...]:
    """Return the wanted conditions with their times: a time changes only if the status of its condition does."""
    dated = {condition.type: condition for condition in previous}
    settled = []
    for condition in wanted:
        before = dated.get(condition.type)
        unmoved = before is not None and before.status == condition.status and before.last_transition_time
        settled.append(replace(condition, last_transition_time=unmoved or now))
    return tuple(sorted(settled, key=lambda condition: condition.type))


def _condition(kind: str, status: str, reason: Reason, message: str, generation: int) -> Condition:
    text = printable(message)
    text = text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 1] + "…"
    return Condition(kind, status, reason.value, text, generation)
