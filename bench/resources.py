"""What is applied, and what that comes to in calls: some users, some roles, two grants for each role."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

OURS, TUTORIAL = "rbac.milvus.io/v1alpha1", "tutorial.example.com/v1"
KINDS = {"milvusroles": "MilvusRole", "milvususers": "MilvusUser"}
CONNECTION = "prod"
PRIVILEGES = (("Query", "*"), ("Insert", "orders"))


@dataclass(frozen=True, slots=True)
class Load:
    """Some users and roles in one namespace, with names of their own in Milvus."""

    namespace: str
    users: int
    roles: int
    api: str = OURS
    """Group and version of their kinds."""

    @property
    def size(self) -> int:
        """The number of resources."""
        return self.users + self.roles

    @property
    def counts(self) -> dict[str, int]:
        """The number of resources of each kind."""
        return {"milvusroles": self.roles, "milvususers": self.users}

    @property
    def names(self) -> set[tuple[str, str]]:
        """Kind and name of each resource, as the audit log has them."""
        return {(path.rpartition("/")[2], body["metadata"]["name"]) for path, body in self.bodies()}

    def role_name(self, number: int) -> str:
        """Return the name of a role in Milvus."""
        return f"r{number}_{self._suffix}"

    def user_name(self, number: int) -> str:
        """Return the name of a user in Milvus."""
        return f"u{number}_{self._suffix}"

    def role_of(self, user: int) -> str:
        """Return the role that a user holds."""
        return self.role_name(user % self.roles)

    def password(self, user: int) -> str:
        """Return the password of a user."""
        return f"bench-{self._suffix}-{user:05}"

    @property
    def _suffix(self) -> str:
        return self.namespace.replace("-", "_")

    def collection(self, plural: str) -> str:
        """Return the path of a kind."""
        return f"/apis/{self.api}/namespaces/{self.namespace}/{plural}"

    def bodies(self) -> list[tuple[str, dict[str, Any]]]:
        """Return all resources with the paths that they are posted to, roles first."""
        roles = [self.role(f"r{number}", self.role_name(number)) for number in range(self.roles)]
        users = [self._user(number) for number in range(self.users)]
        return [*roles, *users]

    def role(self, name: str, role_name: str) -> tuple[str, dict[str, Any]]:
        """Return one role with its path."""
        grants = [{"privileges": [privilege], "collections": [name]} for privilege, name in PRIVILEGES]
        return self._resource("milvusroles", name, {"roleName": role_name, "grants": grants})

    def _user(self, number: int) -> tuple[str, dict[str, Any]]:
        spec = {
            "userName": self.user_name(number),
            "passwordSecretRef": {"name": f"u{number}"},
            "roles": [self.role_of(number)],
        }
        return self._resource("milvususers", f"u{number}", spec)

    def _resource(self, plural: str, name: str, spec: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if self.api == OURS:
            spec["connectionRef"] = {"name": CONNECTION}
        body = {"apiVersion": self.api, "kind": KINDS[plural], "metadata": {"name": name}, "spec": spec}
        return self.collection(plural), body

    def secrets(self) -> Iterable[tuple[str, dict[str, str]]]:
        """Return the Secrets that they name, and that of Milvus' administrator."""
        yield "milvus-admin", {"username": "root", "password": "Milvus"}
        for number in range(self.users):
            yield f"u{number}", {"password": self.password(number)}
