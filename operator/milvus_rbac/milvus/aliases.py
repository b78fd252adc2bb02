"""Which of the names in grants are aliases, and of which collections; answers are remembered for a while."""

import string
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from milvus_rbac.domain.state import Place
from milvus_rbac.milvus import requests
from milvus_rbac.milvus.channel import Session, each
from milvus_rbac.milvus.errors import InternalError, MilvusRbacError, Refused, is_about_account
from milvus_rbac.milvus.port import Aliases

MOST: Final = 500
"""How many names one call asks about: half a second of work."""
REMEMBERED_SECONDS: Final = 300.0
_REMEMBERED: Final = 50_000
"""How many answers are kept, the latest: about 12 MiB."""

_LONGEST: Final = 255
_FIRST: Final = frozenset(string.ascii_letters + "_")
_OTHERS: Final = _FIRST | frozenset(string.digits)


def may_be_alias(name: str) -> bool:
    """Return whether Milvus accepts a name as that of an alias.

    By `validateCollectionNameOrAlias` in Milvus' internal/proxy/util.go, the same from 2.3 to 3.0: a letter or `_`, then
    letters, digits and `_`, 255 bytes at most (proxy.maxNameLength). The characters of proxy.nameValidation.allowedChars,
    `$` by default, are for names in grants, and not for aliases. Other names can't be made aliases, and 2.6.20 and 3.0
    refuse to look them up (1100).
    """
    return bool(name) and len(name) <= _LONGEST and name[0] in _FIRST and _OTHERS.issuperset(name)


@dataclass(frozen=True, slots=True)
class _Answer:
    collection: str | None
    """Empty: no alias. None: the operator's account may not ask."""
    until: float


class AliasLookup:
    """The aliases of one server."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._answers: dict[Place, _Answer] = {}
        """In the order in which they were received."""

    async def resolve(self, places: Collection[Place]) -> Aliases:
        """Return what those of the places that are aliases stand for. Raises Unreachable only."""
        self._forget_old()
        possible = sorted({place for place in places if may_be_alias(place[1])})
        unknown = [place for place in possible if place not in self._answers]
        asked, unasked = unknown[:MOST], unknown[MOST:]
        failed = zip(asked, await each(asked, self._ask), strict=True)
        troubled = {place: error for place, error in failed if error is not None}
        answers = {place: self._answers[place].collection for place in possible if place in self._answers}
        known = {place: collection for place, collection in answers.items() if collection != ""}
        return Aliases(known, troubled, frozenset(unasked))

    def forget(self, place: Place) -> None:
        """Ask again about a place: something is about to be granted there, which the server looks up anew."""
        self._answers.pop(place, None)

    async def _ask(self, place: Place) -> MilvusRbacError | None:
        """Ask the server about one place; return the error if its answer is unintelligible."""
        collection: str | None
        try:
            reply = await self._session.read("DescribeAlias", requests.one_alias(*place))
            collection = reply.collection
        except Refused as refused:
            collection = None if is_about_account(refused) else ""
        except InternalError as error:
            return error
        self._answers[place] = _Answer(collection, time.monotonic() + REMEMBERED_SECONDS)
        return None

    def _forget_old(self) -> None:
        now = time.monotonic()
        surplus = len(self._answers) - _REMEMBERED
        for number, (place, answer) in enumerate(list(self._answers.items())):
            if number >= surplus and answer.until > now:
                break
            del self._answers[place]
