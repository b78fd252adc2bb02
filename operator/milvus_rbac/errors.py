"""Every error that the doors raise. The class is the policy.

    MilvusRbacError
    ├── Refused            the server or a rule said no: the reason says why, nothing was changed
    │   ├── AlreadyExists  somebody won the race of a create: observe again and decide anew, never "success"
    │   ├── DatabaseMissing    a grant or revoke in a database that is not there (2.6.12 and later refuse both)
    │   ├── StillGranted   a role that is to be dropped holds privileges
    │   ├── Changed        what the change is about is not as it was observed: observe again
    │   │   └── NotFound   ... it is gone
    │   └── OldPasswordRefused   the password that was believed to be in force is not
    ├── Unreachable        no answer that means anything; whether a change was made is not known
    └── InternalError      an answer that nobody expected: a bug, or a server that we do not know

`refusal` of each is what the resource's condition says. Messages never hold a password.
"""

from milvus_rbac.domain.conditions import Reason, Refusal


class MilvusRbacError(Exception):
    """The base; never raised itself."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.refusal = Refusal(reason, message)


class Refused(MilvusRbacError):
    """A definite no: nothing was changed, and asking the same again gives the same answer."""


class AlreadyExists(Refused):
    """A create met a namesake that was not there when Milvus was observed."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.CONFLICT, message)


class DatabaseMissing(Refused):
    """A named collection in a database that is not there: 2.6.12 and later look it up and take neither grant nor revoke."""

    def __init__(self, database: str) -> None:
        message = f"The database {database} does not exist in Milvus, which then takes neither grants nor revokes on its collections: create it."
        super().__init__(Reason.INVALID_SCOPE, message)


class StillGranted(Refused):
    """A role can't be dropped while it holds privileges."""

    def __init__(self) -> None:
        message = "The role was given privileges in the meantime, and Milvus drops none that has any."
        super().__init__(Reason.CONFLICT, message)


class Changed(Refused):
    """Somebody else was at work on the user or role since Milvus was observed."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.CONFLICT, message)


class NotFound(Changed):
    """A user or role that the change needs is not there any more."""


class OldPasswordRefused(Refused):
    """The server did not accept the old password, or did not take the caller for a superuser."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.OLD_PASSWORD_UNKNOWN, message)


class Unreachable(MilvusRbacError):
    """Nobody answered in time, or the connection broke: a change may or may not have been made.

    Its reason is Unreachable, CredentialsRejected or TLSMismatch: for all three the connection waits, then tries again.
    """


class InternalError(MilvusRbacError):
    """An answer that has no place in the rules."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.INTERNAL_ERROR, message)
