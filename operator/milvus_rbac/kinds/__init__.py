"""The custom resources as values, one file per kind. They know neither the cluster nor a Milvus.

A new kind is one file here and its name in KINDS.
"""

from milvus_rbac.kinds.connection import MilvusConnection
from milvus_rbac.kinds.group import MilvusPrivilegeGroup
from milvus_rbac.kinds.resource import GROUP, VERSION, Resource
from milvus_rbac.kinds.role import MilvusRole
from milvus_rbac.kinds.user import MilvusUser

KINDS: tuple[type[Resource], ...] = (MilvusConnection, MilvusUser, MilvusRole, MilvusPrivilegeGroup)

Claimant = MilvusUser | MilvusRole | MilvusPrivilegeGroup
"""The kinds that claim something in a Milvus."""

__all__ = [
    "GROUP",
    "KINDS",
    "VERSION",
    "Claimant",
    "MilvusConnection",
    "MilvusPrivilegeGroup",
    "MilvusRole",
    "MilvusUser",
    "Resource",
]
