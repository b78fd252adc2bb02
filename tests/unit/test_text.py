"""Text is cut by bytes, and never inside a letter."""

import pytest

from milvus_rbac.domain.text import cut


@pytest.mark.parametrize("text", ["x" * 1025, "é" * 600, "x" + "日" * 400, "x" * 1024])
def test_a_text_is_cut_to_what_is_taken(text: str) -> None:
    short = cut(text, 1024)
    assert len(short.encode()) <= 1024
    assert short == text or (short.endswith("…") and text.startswith(short[:-1]))
    assert len(short.encode()) > 1019
