"""Whether what grants name is in Milvus, which takes grants on whatever name it is given."""

from collections.abc import Collection

from milvus_rbac.domain.state import ANY, Place
from milvus_rbac.milvus import requests
from milvus_rbac.milvus.channel import Session, each
from milvus_rbac.milvus.errors import DatabaseMissing, InternalError, Refused


async def missing(session: Session, places: Collection[Place]) -> frozenset[Place]:
    """Return which of the places Milvus does not have, with one call for each.

    A place is a collection or an alias of it; with `*` for the collection, a database. One about which there is no clear answer
    is not missing: the operator's account may not look up every database. Raises Unreachable only.
    """

    async def is_missing(place: Place) -> bool:
        database, name = place
        try:
            if name == ANY:
                await session.read("DescribeDatabase", requests.one_database(database))
                return False
            # By rootcoord's has_collection_task.go, an alias counts, and every account may ask (2.3 to 3.0).
            reply = await session.read("HasCollection", requests.one_collection(database, name))
        except DatabaseMissing:
            return True
        except (Refused, InternalError):
            return False
        return not reply.value

    asked = sorted(places)
    answers = zip(asked, await each(asked, is_missing), strict=True)
    return frozenset(place for place, answer in answers if answer)
