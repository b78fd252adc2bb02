"""How a server says no: codes and words in the way of its version."""

from typing import Any

import grpc
from pymilvus.grpc_gen import common_pb2

from support.double.dress import Dress

INVALID = 1100
NOT_AUTHENTICATED = 1400
NOT_PERMITTED = 1401
UNEXPECTED = 65535
QUOTA = 9
_INPUT_ERRORS = {INVALID, NOT_AUTHENTICATED, NOT_PERMITTED, 1402, 800, 802, 100}


class RefusalError(Exception):
    """A reply whose status is no success."""

    def __init__(
        self, legacy: str, code: int, reason: str, *, detail: str | None = None, is_input: bool = True
    ) -> None:
        super().__init__(reason)
        self.status = common_pb2.Status(
            error_code=common_pb2.ErrorCode.Value(legacy),
            code=code,
            reason=reason,
            detail=reason if detail is None else detail,
        )
        if is_input:
            self.status.extra_info["is_input_error"] = "true"


class RpcError(Exception):
    """A call that ends without a reply."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


def by_proxy(dress: Dress, legacy: str, code: int, text: str) -> RefusalError:
    """Refuse before the coordinator is asked."""
    reason = f"{text}: invalid parameter" if code == INVALID and ": invalid parameter" not in text else text
    return RefusalError(legacy, code, reason, is_input=dress.wal and code in _INPUT_ERRORS)


def by_coordinator(
    dress: Dress, legacy: str, text: str, *, checked: str = "", old_code: int = UNEXPECTED
) -> RefusalError:
    """Refuse in the coordinator; `checked` is what a version with a log says that it checked."""
    if dress.wal:
        before = f"failed to check if {checked}: " if checked else ""
        return RefusalError(legacy, INVALID, f"{before}{text}: invalid parameter")
    suffix = ": invalid parameter" if old_code == INVALID else ""
    return RefusalError(legacy, old_code, text + suffix, detail="", is_input=False)


def over_quota(dress: Dress, legacy: str, text: str, checked: str) -> RefusalError:
    """Refuse because there are too many."""
    if dress.wal:
        reason = f"failed to check if {checked}: quota exceeded[reason={text}]"
        return RefusalError(legacy, QUOTA, reason, is_input=False)
    return RefusalError(legacy, UNEXPECTED, text, detail="", is_input=False)


SUCCESS: Any = common_pb2.Status()
