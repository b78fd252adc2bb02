"""What is wrong with a password is known before Milvus is asked, in bytes and without changing any."""

import base64

import pytest

from milvus_rbac.api.v1alpha1.names import PasswordSecretRef
from milvus_rbac.controller.passwords import PREVIOUS_KEY, read_key, read_password
from milvus_rbac.domain.conditions import Reason
from milvus_rbac.domain.passwords import check
from milvus_rbac.milvus.port import Password


@pytest.mark.parametrize(
    ("value", "expected", "reason"),
    [
        (b"secret", None, "six bytes are enough"),
        (b"x" * 72, None, "bcrypt takes as many"),
        ("grüße".encode(), None, "bytes count, not letters: seven"),
        (b" secret ", None, "spaces belong to it"),
        (b"a\nbcdef", None, "a line break inside logs in"),
        (b"pass:word", None, "so does a colon"),
        (b"", Reason.SECRET_EMPTY, "nothing there"),
        (b"\xff\xfe\xfd\xfc\xfb\xfa", Reason.SECRET_NOT_UTF8, "not text"),
        (b"secret\n", Reason.SECRET_TRAILING_NEWLINE, "made with echo"),
        (b"secret\r\n", Reason.SECRET_TRAILING_NEWLINE, "made with an editor of Windows"),
        (b"secret\r", Reason.SECRET_TRAILING_NEWLINE, "half a line break of Windows"),
        (b"\n", Reason.SECRET_TRAILING_NEWLINE, "what to mend first is the line break, not the length"),
        (b"12345", Reason.PASSWORD_TOO_SHORT, "one byte too few"),
        (b"x" * 73, Reason.PASSWORD_TOO_LONG, "bcrypt would not take the last"),
        ("ü".encode() * 37, Reason.PASSWORD_TOO_LONG, "37 letters, but 74 bytes"),
    ],
)
def test_each_slip_has_a_reason_of_its_own(value: bytes, expected: Reason | None, reason: str) -> None:
    refusal = check(value, "Key password of Secret ns/app")
    assert (refusal.reason if refusal else None) is expected, reason
    if refusal:
        assert "Key password of Secret ns/app" in refusal.message


def secret(**data: bytes) -> dict[str, object]:
    encoded = {key.replace("_", "-"): base64.b64encode(value).decode() for key, value in data.items()}
    return {"metadata": {"uid": "u", "resourceVersion": "7"}, "data": encoded}


class TestReading:
    def test_text_and_version_come_together(self) -> None:
        reading = read_password(
            secret(password=b" secret "), "ns", PasswordSecretRef(name="app", key="password")
        )
        assert reading.password == Password(" secret ")
        assert reading.version is not None
        assert (reading.version.uid, reading.version.resource_version) == ("u", "7")
        assert (reading.previous, reading.refusal) == (None, None)

    def test_the_previous_password_comes_along(self) -> None:
        reading = read_password(
            secret(password=b"secret", previous_password=b"before"),
            "ns",
            PasswordSecretRef(name="app", key="password"),
        )
        assert reading.previous == Password("before")
        assert PREVIOUS_KEY == "previous-password"

    @pytest.mark.parametrize(
        ("body", "expected", "reason"),
        [
            (None, Reason.WAITING_FOR_SECRET, "it may still come"),
            (secret(other=b"secret"), Reason.SECRET_KEY_MISSING, "under another key"),
            ({"metadata": {"uid": "u", "resourceVersion": "7"}}, Reason.SECRET_KEY_MISSING, "no data at all"),
            (
                {"metadata": {"uid": "u", "resourceVersion": "7"}, "data": {"password": "%"}},
                Reason.SECRET_KEY_MISSING,
                "not base64: written past the API server's checks",
            ),
            (secret(password=b""), Reason.SECRET_EMPTY, "the key is there, with nothing in it"),
            (secret(password=b"12345"), Reason.PASSWORD_TOO_SHORT, "what the rules say"),
        ],
    )
    def test_what_is_wrong_names_the_secret_and_the_key(
        self, body: dict[str, object] | None, expected: Reason, reason: str
    ) -> None:
        reading = read_password(body, "ns", PasswordSecretRef(name="app", key="password"))
        assert reading.password is None, reason
        assert reading.refusal is not None
        assert reading.refusal.reason is expected, reason
        assert "ns/app" in reading.refusal.message
        assert "password" in reading.refusal.message
        assert (reading.version is None) == (body is None), (
            "a version that can't be used is known all the same"
        )

    def test_a_key_that_is_not_there_is_none(self) -> None:
        assert read_key({}, "password") is None
        assert read_key({"data": None}, "password") is None
        assert read_key({"data": {"password": ""}}, "password") == b""

    def test_no_refusal_holds_the_text(self) -> None:
        for value in (b"abcd1", b"abcdefgh\n", b"y" * 100):
            refusal = read_password(
                secret(password=value), "ns", PasswordSecretRef(name="app", key="password")
            ).refusal
            assert refusal is not None
            assert value.decode().strip() not in refusal.message
