"""Text is cut by bytes, and never inside a letter; what nobody sees in it is shown."""

import pytest

from milvus_rbac.domain.text import cut, printable


@pytest.mark.parametrize("text", ["x" * 1025, "é" * 600, "x" + "日" * 400, "x" * 1024])
def test_a_text_is_cut_to_what_is_taken(text: str) -> None:
    short = cut(text, 1024)
    assert len(short.encode()) <= 1024
    assert short == text or (short.endswith("…") and text.startswith(short[:-1]))
    assert len(short.encode()) > 1019


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x9b31mb", r"a\u009b31mb"),
        ("a\x85b\nc", r"a\u0085b\u000ac"),
        ("a\u2028b", r"a\u2028b"),
        ("a\u202eb", r"a\u202eb"),
        ("é 日 🙂", "é 日 🙂"),
    ],
)
def test_what_forges_a_line_or_turns_it_round_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown
