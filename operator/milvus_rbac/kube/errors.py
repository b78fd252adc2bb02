"""What can go wrong with the Kubernetes API. The class says what to do about it.

    Exception
    ├── ClusterError
    │   ├── ClusterUnavailable   no answer that means anything: a write may or may not have been made; look again later
    │   └── ClusterRefused       a definite no: nothing was written, and asking the same again gives the same answer
    └── LeaseLost                another operator may be writing by now: stop before the next write

Messages carry what the API server said about names and fields, never a Secret's data.
"""


class ClusterError(Exception):
    """The base; never raised itself."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        """The HTTP status, where there was one."""


class ClusterUnavailable(ClusterError):
    """Timeouts, broken connections, 5xx and 429."""

    def __init__(self, message: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, status)
        self.retry_after = retry_after
        """Seconds that the API server asked to wait."""


class ClusterRefused(ClusterError):
    """Forbidden, invalid, a conflict: everything else that is not a success."""

    status: int

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, status)


class LeaseLost(Exception):
    """The lease does not last as long as what was about to be done."""
