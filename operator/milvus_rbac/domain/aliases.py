"""Which of the collections that roles name may be aliases: Milvus 2.6.12 and later store a grant under what one stands for.

Earlier servers keep the name as it was written, so there nothing ever looks like an alias.
"""

from collections.abc import Iterable

from milvus_rbac.domain.claims import Claim, WantedRole
from milvus_rbac.domain.state import ANY, DEFAULT_DATABASE, Place, State


def suspects(claims: Iterable[Claim], observed: State) -> frozenset[Place]:
    """Name the collections that are asked for and not granted, by roles with grants on other collections of that database."""
    found: set[Place] = set()
    for claim in claims:
        role = observed.roles.get(claim.object_name)
        if not isinstance(claim.wanted, WantedRole) or claim.deleting or role is None:
            continue
        held = {(one.database, one.object_name) for one in role.grants or () if one.object_name != ANY}
        databases = {database for database, _ in held}
        asked = {
            (row.database or DEFAULT_DATABASE, collection)
            for row in claim.wanted.rows
            for collection in row.collections
        }
        found |= {place for place in asked - held if place[0] in databases}
    return frozenset(found)
