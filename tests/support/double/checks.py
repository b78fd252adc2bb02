"""What the proxy checks of a request before anything else looks at it: names, passwords, places."""

import base64
import binascii
import string

from support.double.dress import Dress
from support.double.privileges import ANY
from support.double.replies import INVALID, UNEXPECTED, RefusalError, by_proxy
from support.double.settings import ServerSettings

_LETTERS = frozenset(string.ascii_letters.encode())
_WORD = frozenset((string.ascii_letters + string.digits + "_").encode())
_MAX_NAME = 255
_MAX_DESCRIPTION = 1024
_BCRYPT_LIMIT = 72
_CLOUD_CLASSES = 3


def user_name(dress: Dress, settings: ServerSettings, name: str) -> None:
    """Spaces around a name are forgiven here, and kept by who stores it."""
    trimmed = name.strip()
    if not trimmed:
        raise by_proxy(dress, "IllegalArgument", INVALID, "username must be not empty")
    raw, limit = trimmed.encode(), settings.max_username_length
    if len(raw) > limit:
        rule = dress.say("user length", "the length of username must be less than {limit}").format(
            limit=limit
        )
        text = f"invalid username {trimmed} with length {len(raw)}, {rule}"
        raise by_proxy(dress, "IllegalArgument", INVALID, text)
    if raw[0] not in _LETTERS:
        text = f"invalid user name {trimmed}, the first character must be a letter, but got {chr(raw[0])}"
        raise by_proxy(dress, "IllegalArgument", INVALID, text)
    allowed = _WORD | frozenset(dress.user_name_marks.encode())
    for byte in raw[1:]:
        if byte not in allowed:
            rule = dress.say(
                "user characters",
                "username must contain only numbers, letters, underscores, dots, and hyphens",
            )
            text = f"invalid user name {trimmed}, {rule}, but got %!s(uint8={byte})"
            raise by_proxy(dress, "IllegalArgument", INVALID, text)


def role_name(dress: Dress, settings: ServerSettings, name: str) -> None:
    """As for users; other characters are allowed, and longer names."""
    marks = settings.role_name_allowed_chars if dress.wal else "$"
    rule = dress.say(
        "role characters",
        "role name can only contain numbers, letters, underscores, and allowed characters ({marks}), found {mark} at {at}",
    )
    _entity(dress, "role name", name.strip(), marks, rule)


def entity_name(dress: Dress, what: str, name: str) -> None:
    """Check the name of a collection or of what V1 calls an object; `*` means all of them."""
    if name == ANY:
        return
    what = dress.say(what, what)
    rule = dress.say(
        f"{what} characters",
        f"{what} can only contain numbers, letters, underscores, and allowed characters ({{marks}}), found {{mark}} at {{at}}"
        if dress.wal
        else f"{what} can only contain numbers, letters, dollars and underscores, found {{mark}} at {{at}}",
    )
    _entity(dress, what, name.strip(), "$", rule)


def _entity(dress: Dress, what: str, name: str, marks: str, rule: str) -> None:
    raw = name.encode()
    if not raw:
        text = f"{what} should be not empty: invalid parameter[expected=not empty][actual=]"
        raise by_proxy(dress, "IllegalArgument", INVALID, text)
    if len(raw) > _MAX_NAME:
        text = f"the length of {what} must be not greater than limit: invalid parameter[{len(raw)} out of range 0 <= value <= {_MAX_NAME}]"
        raise by_proxy(dress, "IllegalArgument", INVALID, text)
    if raw[0] != ord("_") and raw[0] not in _LETTERS:
        text = f"the first character of {what} must be an underscore or letter: invalid parameter[expected=95][actual={raw[0]}]"
        raise by_proxy(dress, "IllegalArgument", INVALID, text)
    allowed = _WORD | frozenset(marks.encode())
    for at, byte in enumerate(raw):
        if byte not in allowed:
            mark = "" if chr(byte) == " " else chr(byte)
            raise by_proxy(dress, "IllegalArgument", INVALID, rule.format(marks=marks, mark=mark, at=at))


def collection_or_alias(dress: Dress, what: str, name: str) -> None:
    """Check a name where a collection ("name") or an "alias" is made or looked up: stricter than in a grant, without `$`.

    After validateCollectionNameOrAlias in Milvus' internal/proxy/util.go, newer ones with two spaces in a row.
    """
    said = dress.say("bad collection", "Invalid collection {what}: {name}. ").format(what=what, name=name)
    raw = name.encode()
    if not raw:
        text = f"collection {what} should not be empty"
    elif len(raw) > _MAX_NAME:
        text = f"{said} the length of a collection {what} must be less than {_MAX_NAME} characters"
    elif raw[0] != ord("_") and raw[0] not in _LETTERS:
        text = f"{said} the first character of a collection {what} must be an underscore or letter"
    elif any(byte not in _WORD for byte in raw):
        text = f"{said} collection {what} can only contain numbers, letters and underscores"
    else:
        return
    raise by_proxy(dress, "IllegalArgument", INVALID, text)


def group_name(dress: Dress, name: str) -> None:
    """Groups have words of their own for all of it, one with a placeholder that nobody filled."""
    raw = name.encode()
    if not raw:
        text = "invalid privilege group name[privilegeGroup=privilege group name should not be empty]"
        raise by_proxy(dress, "UnexpectedError", 1402, text)
    if len(raw) > _MAX_NAME:
        text = "the length of a privilege group name %s must be less than %s characters"
        said = f"{name}->{_MAX_NAME}: invalid privilege group name[privilegeGroup={text}]"
        raise by_proxy(dress, "UnexpectedError", 1402, said)
    if raw[0] != ord("_") and raw[0] not in _LETTERS:
        text = "the first character of a privilege group name %s must be an underscore or letter"
        raise by_proxy(
            dress, "UnexpectedError", 1402, f"{name}: invalid privilege group name[privilegeGroup={text}]"
        )
    if any(byte not in _WORD for byte in raw):
        text = f"privilege group name {name} can only contain numbers, letters and underscores"
        raise by_proxy(dress, "IllegalArgument", INVALID, text)


def database_name(dress: Dress, name: str) -> None:
    """Databases take letters, digits and `_`."""
    raw = name.encode()
    if len(raw) > _MAX_NAME:
        text = f"the length of a database name must be less than {_MAX_NAME} characters"
        raise by_proxy(dress, "UnexpectedError", 802, f"{text}: invalid database name[database={name}]")
    if raw and raw[0] != ord("_") and raw[0] not in _LETTERS:
        text = "the first character of a database name must be an underscore or letter"
        raise by_proxy(dress, "UnexpectedError", 802, f"{text}: invalid database name[database={name}]")
    if any(byte not in _WORD for byte in raw):
        text = "database name can only contain numbers, letters and underscores"
        raise by_proxy(dress, "UnexpectedError", 802, f"{text}: invalid database name[database={name}]")


def password(dress: Dress, settings: ServerSettings, encoded: str, failure: str) -> str:
    """Decode a password and check its length in bytes; `failure` is what is said of bad base64."""
    raw = decode(dress, encoded, failure)
    limit = settings.max_password_length or dress.max_password_length
    if not settings.min_password_length <= len(raw) <= limit:
        bounds = f"{len(raw)} out of range {settings.min_password_length} <= value <= {limit}"
        text = f"invalid password length: invalid parameter[{bounds}]"
        raise by_proxy(dress, "IllegalArgument", INVALID, text)
    if len(raw) > _BCRYPT_LIMIT:
        text = f"encrypt password failed: bcrypt: password length exceeds {_BCRYPT_LIMIT} bytes"
        raise by_proxy(dress, "UnexpectedError", UNEXPECTED, text)
    if dress.cloud and _classes(raw.decode(errors="replace")) < _CLOUD_CLASSES:
        text = "password must contain three of upper case letters, lower case letters, digits and special characters"
        raise by_proxy(dress, "IllegalArgument", INVALID, text)
    return raw.decode(errors="replace")


def decode(dress: Dress, encoded: str, failure: str) -> bytes:
    """Decode base64 as Go's standard encoding does."""
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        text = f"{failure}: illegal base64 data at input byte 0"
        legacy, code = ("IllegalArgument", INVALID) if dress.wal else ("UnexpectedError", UNEXPECTED)
        raise RefusalError(legacy, code, text, is_input=dress.wal) from None


def description(dress: Dress, what: str, text: str) -> None:
    """Descriptions have a length too, where there are any."""
    length = len(text.encode())
    if not dress.descriptions or length <= _MAX_DESCRIPTION:
        return
    if what == "role":
        said = f"the length of role description must be not greater than limit: invalid parameter[{length} out of range 0 <= value <= {_MAX_DESCRIPTION}]"
    else:
        said = f"invalid user description with length {length}, the length of user description must be less than or equal to {_MAX_DESCRIPTION}"
    raise by_proxy(dress, "IllegalArgument", INVALID, said)


def _classes(text: str) -> int:
    tests = (str.isupper, str.islower, str.isdigit, lambda mark: not mark.isalnum())
    return sum(any(test(mark) for mark in text) for test in tests)
