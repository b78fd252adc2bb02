"""What is applied, and what that comes to in calls: some users, some roles, two grants for each role."""

from dataclasses import dataclass
from typing import Any

from bench.kube import API

CONNECTION = "prod"
PRIVILEGES = (("Query", "*"), ("Insert", "orders"))


@dataclass(frozen=True, slots=True)
class Load:
    """So many users and roles, in one namespace, with names of their own in Milvus."""

    namespace: str
    users: int
    roles: int

    def role_name(self, number: int) -> str:
        """Name a role in Milvus."""
        return f"r{number}_{self._suffix}"

    def user_name(self, number: int) -> str:
        """Name a user in Milvus."""
        return f"u{number}_{self._suffix}"

    def role_of(self, user: int) -> str:
        """Name the role that a user holds."""
        return self.role_name(user % self.roles)

    def password(self, user: int) -> str:
        """Give the password of a user."""
        return f"bench-{self._suffix}-{user:05}"

    @property
    def _suffix(self) -> str:
        return self.namespace.replace("-", "_")

    def collection(self, plural: str) -> str:
        """Give the path of a kind of ours."""
        return f"{API}/namespaces/{self.namespace}/{plural}"

    def bodies(self) -> list[tuple[str, dict[str, Any]]]:
        """Give all resources with the paths that they are posted to."""
        roles = [
            (
                self.collection("milvusroles"),
                _body(
                    "MilvusRole",
                    f"r{number}",
                    {
                        "connectionRef": {"name": CONNECTION},
                        "roleName": self.role_name(number),
                        "grants": [
                            {"privileges": ["Query"]},
                            {"privileges": ["Insert"], "collections": ["orders"]},
                        ],
                    },
                ),
            )
            for number in range(self.roles)
        ]
        users = [
            (
                self.collection("milvususers"),
                _body(
                    "MilvusUser",
                    f"u{number}",
                    {
                        "connectionRef": {"name": CONNECTION},
                        "userName": self.user_name(number),
                        "passwordSecretRef": {"name": f"u{number}"},
                        "roles": [self.role_of(number)],
                    },
                ),
            )
            for number in range(self.users)
        ]
        return roles + users


def _body(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.milvus.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }
