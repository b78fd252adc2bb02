"""docs/messages.md has what the API server says to each mistake, and it takes none of them."""

from support.mistakes.page import REFUSED_TITLE, part, refused_lines
from support.mistakes.refused import REFUSED
from support.mistakes.told import SCENES
from testbed.cluster import Cluster


def test_the_page_of_messages_has_what_the_api_server_says(control_plane: Cluster) -> None:
    assert refused_lines(control_plane) == part(REFUSED_TITLE), "if it should say that, run `make messages`"


def test_there_are_many_mistakes() -> None:
    told = sum(len(scene.told) for scene in SCENES)
    assert told + sum(map(len, REFUSED.values())) >= 200
