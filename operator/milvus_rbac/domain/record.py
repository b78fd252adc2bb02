"""What the last status of a resource said that its object in Milvus holds, small enough to be kept for every resource."""

from array import array
from collections.abc import Hashable, Iterable, Mapping
from operator import itemgetter
from typing import Final

from milvus_rbac.domain.state import Grant

_HASH: Final = "q"
"""The type code of a hash in an array: eight bytes."""
_FIELDS: Final = itemgetter("database", "objectName", "objectType", "privilege")


class Record(bytes):
    """The hash of each item, in order; equal lists have equal records, in this process alone."""

    __slots__ = ()

    @property
    def hashes(self) -> frozenset[int]:
        """Return the hashes of all items."""
        return frozenset(memoryview(self).cast(_HASH))

    @property
    def length(self) -> int:
        """How many items there are."""
        return len(self) // array(_HASH).itemsize


def record_of(items: Iterable[Hashable]) -> Record:
    """Return the record of these items."""
    return Record(array(_HASH, map(hash, items)).tobytes())


def row_item(row: Mapping[str, str]) -> tuple[str, ...]:
    """Return a row of status.grants as one item, whatever the order of its fields."""
    fields: tuple[str, ...] = _FIELDS(row)
    return fields


def grant_item(grant: Grant) -> tuple[str, ...]:
    """Return the item that stands for a grant in status.grants."""
    return grant.database, grant.object_name, grant.object_type, grant.privilege
