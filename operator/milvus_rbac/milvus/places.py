"""Whether what grants name is in Milvus, which takes grants on whatever name it is given."""

import time
from collections.abc import Collection
from typing import Final

from milvus_rbac.domain.state import ANY, Place
from milvus_rbac.milvus import requests
from milvus_rbac.milvus.channel import Session, each
from milvus_rbac.milvus.errors import DatabaseMissing, InternalError, Refused

REMEMBERED_SECONDS: Final = 300.0
_REMEMBERED: Final = 10_000
"""How many places that are there are kept, the latest."""


class PlaceLookup:
    """The databases and collections of one server, as far as somebody named them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._there: dict[Place, float] = {}
        """Places that were there, with the time until which that is believed; the oldest first."""

    async def missing(self, places: Collection[Place]) -> frozenset[Place]:
        """Return which of the places Milvus does not have.

        A place is a collection or an alias of it; with `*` for the collection, a database. One about which there is no clear
        answer is not missing: the operator's account may not look up every database. Raises Unreachable only.
        """
        self._forget_old()
        asked = [place for place in sorted(places) if place not in self._there]
        answers = dict(zip(asked, await each(asked, self._is_there), strict=True))
        until = time.monotonic() + REMEMBERED_SECONDS
        self._there |= {place: until for place, is_there in answers.items() if is_there}
        return frozenset(place for place, is_there in answers.items() if is_there is False)

    async def _is_there(self, place: Place) -> bool | None:
        """Return whether Milvus has a place; None if that can't be told."""
        database, name = place
        try:
            if name == ANY:
                await self._session.read("DescribeDatabase", requests.one_database(database))
                return True
            # By rootcoord's has_collection_task.go, an alias counts, and every account may ask (2.3 to 3.0).
            reply = await self._session.read("HasCollection", requests.one_collection(database, name))
        except DatabaseMissing:
            return False
        except (Refused, InternalError):
            return None
        return bool(reply.value)

    def _forget_old(self) -> None:
        now, surplus = time.monotonic(), len(self._there) - _REMEMBERED
        for number, (place, until) in enumerate(list(self._there.items())):
            if number >= surplus and until > now:
                break
            del self._there[place]
