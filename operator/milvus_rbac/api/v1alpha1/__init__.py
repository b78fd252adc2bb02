"""The custom resources as values, one file per kind.

A new kind is one file here and its name in KINDS.
"""

from milvus_rbac.api.v1alpha1.milvusconnection import MilvusConnection, MilvusConnectionSpec
from milvus_rbac.api.v1alpha1.milvusprivilegegroup import MilvusPrivilegeGroup, MilvusPrivilegeGroupSpec
from milvus_rbac.api.v1alpha1.milvusrole import MilvusRole, MilvusRoleSpec
from milvus_rbac.api.v1alpha1.milvususer import MilvusUser, MilvusUserSpec
from milvus_rbac.api.v1alpha1.resource import GROUP, VERSION, Resource

KINDS: tuple[type[Resource], ...] = (MilvusConnection, MilvusUser, MilvusRole, MilvusPrivilegeGroup)

Claimant = MilvusUser | MilvusRole | MilvusPrivilegeGroup
"""The kinds that claim something in a Milvus."""

__all__ = [
    "GROUP",
    "KINDS",
    "VERSION",
    "Claimant",
    "MilvusConnection",
    "MilvusConnectionSpec",
    "MilvusPrivilegeGroup",
    "MilvusPrivilegeGroupSpec",
    "MilvusRole",
    "MilvusRoleSpec",
    "MilvusUser",
    "MilvusUserSpec",
    "Resource",
]
