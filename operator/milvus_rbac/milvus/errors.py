"""Every error that the Milvus client raises, and what a server's refusals mean. The class decides what is done.

    MilvusRbacError
    ├── Refused            the server or a rule refused, with a reason; nothing was changed
    │   ├── AlreadyExists  another client was faster with a create: observe again and decide anew, never "success"
    │   ├── DatabaseMissing    a grant or revoke in a database that does not exist (2.6.12 and later refuse both)
    │   ├── StillGranted   a role that is to be dropped holds privileges
    │   ├── Changed        the object is no longer as it was observed: observe again
    │   │   └── NotFound   ... it is gone
    │   └── OldPasswordRefused   the password that was believed to be in force is not
    ├── Unreachable        no answer that means anything; whether a change was made is not known
    └── InternalError      an unintelligible answer: a bug, or a server of an unknown kind

`refusal` of each goes into the resource's condition. Messages never hold a password. Milvus has one number for most
refusals, so `from_status` recognizes them by their text; the texts were recorded on real servers.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.privileges import find, suggest
from milvus_rbac.milvus.stubs import common_pb2


class MilvusRbacError(Exception):
    """The base; never raised itself."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.refusal = Refusal(reason, message)


class Refused(MilvusRbacError):
    """The server refused: nothing was changed, and the same request would be refused again."""


class AlreadyExists(Refused):
    """A create met an object of the same name that did not exist when Milvus was observed."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.CONFLICT, message)


class DatabaseMissing(Refused):
    """A named collection in a database that does not exist: 2.6.12 and later then refuse grant and revoke."""

    def __init__(self, database: str) -> None:
        message = f"The database {database} does not exist in Milvus, which then takes neither grants nor revokes on its collections: create it."
        super().__init__(Reason.INVALID_SCOPE, message)


class StillGranted(Refused):
    """A role can't be dropped while it holds privileges."""

    def __init__(self) -> None:
        message = "The role was given privileges in the meantime, and Milvus drops none that has any."
        super().__init__(Reason.CONFLICT, message)


class Changed(Refused):
    """Another client changed the user or role since Milvus was observed."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.CONFLICT, message)


class NotFound(Changed):
    """A user or role that the change needs does not exist any more."""


class OldPasswordRefused(Refused):
    """The server did not accept the old password, or the operator's account is no superuser."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.OLD_PASSWORD_UNKNOWN, message)


class Unreachable(MilvusRbacError):
    """No answer came in time, or the connection broke: a change may or may not have been made.

    Its reason is Unreachable, CredentialsRejected or TLSMismatch: for all three the connection waits, then tries again.
    """


class InternalError(MilvusRbacError):
    """An answer that the client does not understand."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.INTERNAL_ERROR, message)


_TEXT_LIMIT: Final = 300


def is_about_account(error: MilvusRbacError) -> bool:
    """Return whether an error is about the operator's account, and so would be the same for every other object."""
    return error.refusal.reason in {Reason.MISSING_PRIVILEGES, Reason.AUTHORIZATION_OFF}


def from_status(status: Any) -> MilvusRbacError:
    """Return the error that a reply without success stands for; `status` is a common.Status."""
    reason = status.reason
    for pattern, error in _RULES:
        if (match := pattern.search(reason)) is not None:
            return error(match)
    if status.error_code == common_pb2.NotReadyServe:
        return _not_ready(None)
    return InternalError(f"Milvus answered {status.error_code}/{status.code}: {clip(reason)}")


def unsupported_by_cloud(status: Any) -> Refused:
    """Return the refusal for what Zilliz Cloud does not do, with its own text: its refusals are not documented."""
    return Refused(
        Reason.UNSUPPORTED_BY_SERVER,
        f"Zilliz Cloud refuses it ({clip(status.reason)}): single privileges and privilege groups of one's own need a "
        "support ticket there; the nine built-in groups do not.",
    )


def clip(text: str) -> str:
    """Return a server's text on one line, cut to what fits a status message."""
    line = " ".join(text.split())
    return line if len(line) <= _TEXT_LIMIT else line[: _TEXT_LIMIT - 1] + "…"


def _already_exists(_: re.Match[str]) -> MilvusRbacError:
    return AlreadyExists(
        "An object of that name appeared in Milvus in the meantime; the next reconciliation finds out whose it is."
    )


def _limit(match: re.Match[str]) -> MilvusRbacError:
    setting, builtins = (
        ("maxRoleNum", "admin and public") if match["what"] == "roles" else ("maxUserNum", "root")
    )
    return Refused(
        Reason.LIMIT_REACHED,
        f"Milvus takes no more {match['what']}: raise proxy.{setting} in its configuration, which counts"
        f" {builtins} too.",
    )


def _not_found(match: re.Match[str]) -> MilvusRbacError:
    return NotFound(
        f"The {match['what']} is not in Milvus any more; the next reconciliation makes up for it."
    )


def _still_granted(_: re.Match[str]) -> MilvusRbacError:
    return StillGranted()


def _old_password(_: re.Match[str]) -> MilvusRbacError:
    return OldPasswordRefused(
        "Milvus did not accept the old password: write it into the key previous-password, or name the operator's account in"
        " common.security.superUsers."
    )


def _password_length(match: re.Match[str]) -> MilvusRbacError:
    length, low, high = (int(match[name]) for name in ("length", "low", "high"))
    reason = Reason.PASSWORD_TOO_SHORT if length < low else Reason.PASSWORD_TOO_LONG
    return Refused(reason, f"Milvus takes passwords of {low} to {high} bytes: this one has {length}.")


def _password_beyond_bcrypt(match: re.Match[str]) -> MilvusRbacError:
    # Servers before 2.4.18 say 256 and fail on what bcrypt takes.
    return Refused(Reason.PASSWORD_TOO_LONG, f"Milvus takes passwords of at most {match['high']} bytes.")


def _password_too_weak(_: re.Match[str]) -> MilvusRbacError:
    return Refused(
        Reason.PASSWORD_TOO_WEAK,
        "This Milvus takes passwords with three of upper case letters, lower case letters, digits and other characters.",
    )


def _invalid_name(match: re.Match[str]) -> MilvusRbacError:
    return Refused(
        Reason.INVALID_NAME, f"Milvus does not take this name, choose another: {clip(match.string)}"
    )


def _unknown_privilege(match: re.Match[str]) -> MilvusRbacError:
    name = match["privilege"]
    row = find(name)
    if row is not None:
        since = ".".join(map(str, row.since))
        return Refused(
            Reason.UNSUPPORTED_BY_SERVER, f"This Milvus does not know {name}, which came with {since}."
        )
    meant = suggest(name)
    advice = f"write {meant}." if meant else "see the privilege names in Milvus' documentation."
    return Refused(Reason.UNKNOWN_PRIVILEGE, f"Milvus does not know the privilege {clip(name)}: {advice}")


def _group_in_v1(match: re.Match[str]) -> MilvusRbacError:
    return Refused(
        Reason.UNSUPPORTED_BY_SERVER,
        f"The privilege group {match['group']} cannot be granted to this Milvus: grant its privileges by name.",
    )


def _in_use(match: re.Match[str]) -> MilvusRbacError:
    message = f"The role {match['role']} holds the privilege group {match['group']}: take it out of its grants first."
    return Refused(Reason.IN_USE, message)


def _mixed_levels(_: re.Match[str]) -> MilvusRbacError:
    return Refused(
        Reason.INVALID_SCOPE,
        "Milvus takes privileges of one level into a group: make a group for each level.",
    )


def _description(match: re.Match[str]) -> MilvusRbacError:
    message = f"Milvus takes at most 1024 bytes as the description of a {match['what']}: shorten it."
    return Refused(Reason.INVALID_NAME, message)


def _place_name(match: re.Match[str]) -> MilvusRbacError:
    message = f"Milvus takes no database or collection of this name, correct it: {clip(match.string)}"
    return Refused(Reason.INVALID_SCOPE, message)


def _no_database(match: re.Match[str]) -> MilvusRbacError:
    return DatabaseMissing(match["database"])


def _object_type(match: re.Match[str]) -> MilvusRbacError:
    return Refused(Reason.INVALID_SCOPE, f"Milvus refuses the scope of a grant: {clip(match.string)}")


def _built_in(match: re.Match[str]) -> MilvusRbacError:
    return Refused(Reason.RESERVED_NAME, f"Milvus keeps its built-in users and roles: {clip(match.string)}")


def _no_caller(_: re.Match[str]) -> MilvusRbacError:
    # With authorization off, a grant still needs a grantor. The server's text repeats the token that the caller sent.
    return Refused(
        Reason.AUTHORIZATION_OFF,
        "Milvus does not check logins and does not know the operator's account: turn on"
        " common.security.authorizationEnabled.",
    )


def _not_ready(_: re.Match[str] | None) -> MilvusRbacError:
    return Unreachable(
        Reason.UNREACHABLE, "Milvus is starting, or a part of it is down: wait, then look at its pods."
    )


_RULES: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], MilvusRbacError]], ...]] = tuple(
    (re.compile(pattern), error)
    for pattern, error in (  # a table for the formatter to leave alone: one rule a line, the first that matches decides
        (r"number of (?P<what>roles|users) has reached the limit", _limit),
        (r"already exists|has existed|is defined by users", _already_exists),  # the second from 2.2, the third of groups
        (r"old password not correct", _old_password),
        (r"invalid password length.*\[(?P<length>\d+) out of range (?P<low>\d+) <= value <= (?P<high>\d+)", _password_length),
        (r"bcrypt: password length exceeds (?P<high>\d+) bytes", _password_beyond_bcrypt),
        (r"password must contain", _password_too_weak),  # Zilliz Cloud
        (r"it has privileges", _still_granted),
        (r"privilege group \[(?P<group>[^\]]*)\] is used by role \[(?P<role>[^\]]*)\]", _in_use),
        (r"there is no (?P<what>privilege group) name \[", _not_found),  # before the next: that one is about members
        (r"there is no privilege name or privilege group name \[(?P<privilege>[^\]]*)\]", _unknown_privilege),
        (r"not the same privilege level", _mixed_levels),
        (r"defined by built.in privilege", _built_in),
        (r"(?P<what>alias) not found", _not_found),
        (r"not found the (?P<what>role|user),", _not_found),
        (r"(?P<what>user|role)( \".*\" (not found|does not exist)| not found| not exists)", _not_found),  # 2.6.19 and later
        (r"not found the privilege name\[(?P<privilege>[^\]]*)\]", _unknown_privilege),
        (r"can not operate the \S+ privilege group \[(?P<group>[^\]]*)\]", _group_in_v1),
        (r"not found the object type|object entity in the request|not found the privilege level", _object_type),
        (r"should be \* for the (cluster|database) level|please specify database name", _object_type),
        (r"database not found\[database=(?P<database>[^\]]*)\]", _no_database),
        (r"cannot be deleted|default role, which can't be (dropped|altered)", _built_in),
        (r"(?P<what>user|role) description", _description),
        (r"invalid user ?name|(user|role|object) ?name (must|should) be not empty", _invalid_name),
        # Object and database names are refused with the same words as role names.
        (r"role name can only contain|character of role name|length of role name", _invalid_name),
        (r"invalid privilege group name|privilege group name .* can only contain", _invalid_name),
        (r"Invalid collection (alias|name)|collection (alias|name) should not be empty", _place_name),
        (r"(database|collection|object) name can only contain|character of (a database|collection|object) name", _place_name),
        (r"length of (a database|collection|object) name|collection name should|invalid database name", _place_name),
        (r"fail to get authorization", _no_caller),
        (r"service not ready", _not_ready),
    )
)  # fmt: skip
