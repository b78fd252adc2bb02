"""The one list of reasons, and how reasons become conditions. Knows neither Kubernetes' API nor Milvus."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, StrEnum


class Reason(StrEnum):
    """Why a condition has its status. Events carry the same words; docs/troubleshooting.md has an entry for each."""

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
    DELETION_BLOCKED = "DeletionBlocked"
    IN_USE = "InUse"
    INTERNAL_ERROR = "InternalError"


class Patience(Enum):
    """What a reason that is not Ready waits for, and so which of the kstatus conditions is set beside Ready."""

    STALLED = "Stalled"
    """Somebody has to change something."""
    WAITING = "Reconciling"
    """It heals by itself when something else appears or comes back."""
    QUIET = ""
    """It is as somebody asked for: nothing is wrong and nothing is under way."""


_WAITING = {
    Reason.WAITING_FOR_SECRET,
    Reason.WAITING_FOR_ROLE,
    Reason.WAITING_FOR_PRIVILEGE_GROUP,
    Reason.WAITING_FOR_CONNECTION,
    Reason.PENDING,
    Reason.UNREACHABLE,
    Reason.DELETION_BLOCKED,
    Reason.INTERNAL_ERROR,
}
_QUIET = {Reason.READY, Reason.SUSPENDED, Reason.EXPIRED, Reason.OBSERVED}


def patience(reason: str) -> Patience:
    """Say what a reason waits for; one that nobody knows (of a newer operator) waits for somebody."""
    if reason in _WAITING:
        return Patience.WAITING
    if reason in _QUIET:
        return Patience.QUIET
    return Patience.STALLED


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something is not done, in one sentence that names the field or object and says what to do."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a resource, as Kubernetes knows it."""

    type: str
    status: str
    reason: str
    message: str
    observed_generation: int
    last_transition_time: str = ""


READY_TYPE = "Ready"
PASSWORD_TYPE = "PasswordSynced"
DRIFTED_TYPE = "Drifted"
STALLED_TYPE = "Stalled"
RECONCILING_TYPE = "Reconciling"

MESSAGE_LIMIT = 1024
"""Longer messages are cut: they go into etcd with every resource."""


def summarize_ready(refusals: Sequence[Refusal], success: str, generation: int) -> tuple[Condition, ...]:
    """Turn what was refused into Ready and, only while true, Stalled or Reconciling.

    What needs a human comes first; the first refusal gives the reason, all of them give the message.
    """
    ordered = sorted(refusals, key=lambda refusal: patience(refusal.reason) is not Patience.STALLED)
    if not ordered:
        return (_condition(READY_TYPE, "True", Reason.READY, success, generation),)
    reason = ordered[0].reason
    message = " ".join(dict.fromkeys(refusal.message for refusal in ordered))
    ready = _condition(READY_TYPE, "False", reason, message, generation)
    beside = patience(reason)
    if beside is Patience.QUIET:
        return (ready,)
    return (ready, _condition(beside.value, "True", reason, message, generation))


def summarize_password(refusal: Refusal | None, generation: int) -> Condition:
    """Say whether the Secret's password is the one in force."""
    if refusal is None:
        return _condition(
            PASSWORD_TYPE, "True", Reason.READY, "The password of the Secret is in force.", generation
        )
    return _condition(PASSWORD_TYPE, "False", refusal.reason, refusal.message, generation)


def summarize_drift(plan: Sequence[str], generation: int) -> Condition:
    """Say in mode Observe whether Milvus differs from the resource."""
    if plan:
        message = f"{len(plan)} changes would be made; status.plan lists them."
        return _condition(DRIFTED_TYPE, "True", Reason.OBSERVED, message, generation)
    return _condition(DRIFTED_TYPE, "False", Reason.OBSERVED, "Milvus is as the resource asks.", generation)


def settle(previous: Iterable[Condition], wanted: Iterable[Condition], now: str) -> tuple[Condition, ...]:
    """Date the wanted conditions: the time moves only where the status of a condition does."""
    dated = {condition.type: condition for condition in previous}
    settled = []
    for condition in wanted:
        before = dated.get(condition.type)
        unmoved = before is not None and before.status == condition.status and before.last_transition_time
        settled.append(replace(condition, last_transition_time=unmoved or now))
    return tuple(sorted(settled, key=lambda condition: condition.type))


def _condition(kind: str, status: str, reason: Reason, message: str, generation: int) -> Condition:
    text = message if len(message) <= MESSAGE_LIMIT else message[: MESSAGE_LIMIT - 1] + "…"
    return Condition(kind, status, reason.value, text, generation)
