"""What the operator checks in the text of a Secret before it asks Milvus."""

from milvus_rbac.domain.conditions import Reason, Refusal

MIN_BYTES = 6
"""proxy.minPasswordLength of every server since 2.2, in bytes of UTF-8."""
MAX_BYTES = 72
"""The limit of bcrypt. Servers up to 2.4.17 claim to take 256 bytes and then fail in bcrypt."""


def check_text(value: bytes, where: str) -> Refusal | None:
    """Return why the bytes of a Secret's key are neither a name nor a password; `where` names Secret and key.

    Nothing is stripped.
    """
    if not value:
        return Refusal(Reason.SECRET_EMPTY, f"{where} is empty: write the value there.")
    try:
        value.decode()
    except UnicodeDecodeError:
        return Refusal(Reason.SECRET_NOT_UTF8, f"{where} is not UTF-8 text: store the value as plain text.")
    if value.endswith((b"\n", b"\r")):
        message = f"{where} ends with a line break: write the value without it (echo -n, or stringData)."
        return Refusal(Reason.SECRET_TRAILING_NEWLINE, message)
    return None


def check(value: bytes, where: str) -> Refusal | None:
    """Return why the bytes of a Secret's key can't be a password of any Milvus."""
    refusal = check_text(value, where)
    if refusal is not None:
        return refusal
    if len(value) < MIN_BYTES:
        message = f"{where} is shorter than {MIN_BYTES} bytes: Milvus takes {MIN_BYTES} to {MAX_BYTES}."
        return Refusal(Reason.PASSWORD_TOO_SHORT, message)
    if len(value) > MAX_BYTES:
        message = f"{where} is longer than {MAX_BYTES} bytes: Milvus takes {MIN_BYTES} to {MAX_BYTES}."
        return Refusal(Reason.PASSWORD_TOO_LONG, message)
    return None
