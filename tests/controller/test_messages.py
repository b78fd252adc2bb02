"""docs/messages.md has what the operator says to each mistake."""

from support.mistakes.page import TOLD_TITLE, part, told_lines


async def test_the_page_of_messages_has_what_conditions_say() -> None:
    assert await told_lines() == part(TOLD_TITLE), "if it should say that, run `make messages`"
