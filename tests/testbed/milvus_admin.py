"""A small synchronous client for tests: what is in a Milvus, and changes made behind the operator's back."""

import base64
from collections.abc import Iterable
from typing import Any, Self

import grpc
from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc

ROOT_PASSWORD = "Milvus"  # noqa: S105 - what every fresh Milvus comes with

Grant = tuple[str, str, str, str]
"""Object type, object name, database, privilege."""


class MilvusRefusedError(Exception):
    """Milvus answered, and said no."""

    def __init__(self, method: str, status: Any) -> None:
        super().__init__(f"{method}: {status.error_code}/{status.code} {status.reason}")
        self.code: int = status.code
        self.reason: str = status.reason


class MilvusAdmin:
    """Users, roles, bindings and grants of one Milvus, as one of its users."""

    def __init__(
        self,
        address: str,
        user: str = "root",
        password: str = ROOT_PASSWORD,
        *,
        ca_pem: bytes | None = None,
        client: tuple[bytes, bytes] | None = None,
        timeout: float = 10.0,
    ) -> None:
        self.address = address
        self._ca_pem = ca_pem
        self._client = client
        self._timeout = timeout
        self._metadata = [("authorization", _base64(f"{user}:{password}"))]
        self._channel = _channel(address, ca_pem, client)
        self._stub = milvus_pb2_grpc.MilvusServiceStub(self._channel)

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def rpc(self, method: str, request: Any, timeout: float | None = None) -> Any:
        """One call; the reply if its status is good, otherwise MilvusRefusedError."""
        call = getattr(self._stub, method)
        reply = call(request, metadata=self._metadata, timeout=timeout or self._timeout)
        status = getattr(reply, "status", reply)
        if status.error_code or status.code:
            raise MilvusRefusedError(method, status)
        return reply

    def login_works(self, user: str, password: str) -> bool:
        """Whether Milvus lets that user in, asked on a connection of its own."""
        with MilvusAdmin(
            self.address, user, password, ca_pem=self._ca_pem, client=self._client, timeout=self._timeout
        ) as login:
            try:
                login.rpc("GetVersion", milvus_pb2.GetVersionRequest())
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                    return False
                raise
            return True

    def create_user(self, user: str, password: str) -> None:
        """A new user."""
        request = milvus_pb2.CreateCredentialRequest(username=user, password=_base64(password))
        self.rpc("CreateCredential", request)

    def delete_user(self, user: str) -> None:
        """Removes a user; one that is not there is no error."""
        self.rpc("DeleteCredential", milvus_pb2.DeleteCredentialRequest(username=user))

    def update_password(self, user: str, old: str, new: str) -> None:
        """Changes a password; only superusers may leave out the old one."""
        request = milvus_pb2.UpdateCredentialRequest(
            username=user, oldPassword=_base64(old), newPassword=_base64(new)
        )
        self.rpc("UpdateCredential", request)

    def create_role(self, role: str) -> None:
        """A new role."""
        self.rpc("CreateRole", milvus_pb2.CreateRoleRequest(entity=milvus_pb2.RoleEntity(name=role)))

    def drop_role(self, role: str) -> None:
        """Removes a role, which must have no grants."""
        self.rpc("DropRole", milvus_pb2.DropRoleRequest(role_name=role))

    def bind(self, user: str, role: str) -> None:
        """Gives a role to a user."""
        self._operate_user_role(user, role, milvus_pb2.OperateUserRoleType.AddUserToRole)

    def unbind(self, user: str, role: str) -> None:
        """Takes a role from a user."""
        self._operate_user_role(user, role, milvus_pb2.OperateUserRoleType.RemoveUserFromRole)

    def _operate_user_role(self, user: str, role: str, operation: int) -> None:
        request = milvus_pb2.OperateUserRoleRequest(username=user, role_name=role, type=operation)
        self.rpc("OperateUserRole", request)

    def grant(
        self, role: str, object_type: str, object_name: str, privilege: str, database: str = "default"
    ) -> None:
        """Gives a privilege, in the old form that every version understands."""
        operation = milvus_pb2.OperatePrivilegeType.Grant
        self._operate_privilege(role, (object_type, object_name, database, privilege), operation)

    def revoke(
        self, role: str, object_type: str, object_name: str, privilege: str, database: str = "default"
    ) -> None:
        """Takes a privilege."""
        operation = milvus_pb2.OperatePrivilegeType.Revoke
        self._operate_privilege(role, (object_type, object_name, database, privilege), operation)

    def _operate_privilege(self, role: str, grant: Grant, operation: int) -> None:
        object_type, object_name, database, privilege = grant
        entity = milvus_pb2.GrantEntity(
            role=milvus_pb2.RoleEntity(name=role),
            object=milvus_pb2.ObjectEntity(name=object_type),
            object_name=object_name,
            db_name=database,
            grantor=milvus_pb2.GrantorEntity(privilege=milvus_pb2.PrivilegeEntity(name=privilege)),
        )
        self.rpc("OperatePrivilege", milvus_pb2.OperatePrivilegeRequest(entity=entity, type=operation))

    def users(self) -> set[str]:
        """All users."""
        return set(self.rpc("ListCredUsers", milvus_pb2.ListCredUsersRequest()).usernames)

    def roles(self) -> set[str]:
        """All roles, the built-in ones included."""
        return set(self._members())

    def members(self) -> dict[str, set[str]]:
        """Who holds which role; a role that nobody holds is there with an empty set."""
        return self._members()

    def _members(self) -> dict[str, set[str]]:
        reply = self.rpc("SelectRole", milvus_pb2.SelectRoleRequest(include_user_info=True))
        return {result.role.name: {user.name for user in result.users} for result in reply.results}

    def databases(self) -> set[str]:
        """All databases."""
        return set(self.rpc("ListDatabases", milvus_pb2.ListDatabasesRequest()).db_names)

    def create_database(self, name: str) -> None:
        """A new database."""
        self.rpc("CreateDatabase", milvus_pb2.CreateDatabaseRequest(db_name=name))

    def drop_database(self, name: str) -> None:
        """Removes a database, which must be empty."""
        self.rpc("DropDatabase", milvus_pb2.DropDatabaseRequest(db_name=name))

    def grants(self, role: str) -> set[Grant]:
        """All grants of a role, whatever the database."""
        return self._grants(role, self.databases())

    def _grants(self, role: str, databases: Iterable[str]) -> set[Grant]:
        # Servers before 2.4 show under `*` only what is granted on `*`, so each database is asked for.
        found: set[Grant] = set()
        for database in {"default", "*", *databases}:
            entity = milvus_pb2.GrantEntity(role=milvus_pb2.RoleEntity(name=role), db_name=database)
            reply = self.rpc("SelectGrant", milvus_pb2.SelectGrantRequest(entity=entity))
            found |= {_as_grant(row) for row in reply.entities}
        return found

    def dump(self, containing: str = "") -> dict[str, Any]:
        """Everything about access, as plain sorted data; only what has `containing` in its name, if given."""
        databases = self.databases()
        members = {role: held for role, held in self._members().items() if containing in role}
        return {
            "users": sorted(user for user in self.users() if containing in user),
            "roles": sorted(members),
            "members": {role: sorted(held) for role, held in sorted(members.items())},
            "grants": {role: sorted(self._grants(role, databases)) for role in sorted(members)},
        }


def _as_grant(row: Any) -> Grant:
    return row.object.name, row.object_name, row.db_name, row.grantor.privilege.name


def _channel(address: str, ca_pem: bytes | None, client: tuple[bytes, bytes] | None) -> grpc.Channel:
    # Without a subchannel pool of its own, a connection's backoff would be shared with whoever called that address before.
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    if ca_pem is None:
        return grpc.insecure_channel(address, options)
    chain, key = client or (None, None)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(ca_pem, key, chain), options)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
