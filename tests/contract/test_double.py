"""What no recording shows of the double: its faults, its proxies' memory, Zilliz Cloud, and its thread."""

import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from pymilvus.grpc_gen import milvus_pb2 as pb
from pymilvus.grpc_gen import milvus_pb2_grpc

from support.double import Double, ServerSettings
from support.double.faults import Trouble
from support.double.gate import API_KEY
from support.double.thread import DoubleThread
from testbed.milvus_admin import MilvusAdmin, MilvusRefusedError

GROUPS = ("2.4", "2.5", "2.6", "3.0")


class Client:
    """Raw calls as one user."""

    def __init__(self, double: Double, token: str = "root:Milvus") -> None:
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{double.port}")
        self._stub = milvus_pb2_grpc.MilvusServiceStub(self.channel)
        self._metadata = (("authorization", base64.b64encode(token.encode()).decode()),)

    async def call(self, method: str, request: Any, timeout: float = 5.0) -> Any:
        return await getattr(self._stub, method)(request, metadata=self._metadata, timeout=timeout)


@pytest.fixture
async def servers() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def start(servers: AsyncExitStack, dress: str, **settings: Any) -> tuple[Double, Client]:
    double = await servers.enter_async_context(Double(dress, ServerSettings(bcrypt_cost=4, **settings)))
    client = Client(double, "db_admin:Milvus" if dress == "zilliz" else "root:Milvus")
    servers.push_async_callback(client.channel.close)
    return double, client


def grant(role: str, privilege: str, database: str = "*", collection: str = "*", *, give: bool = True) -> Any:
    return pb.OperatePrivilegeV2Request(
        role=pb.RoleEntity(name=role),
        grantor=pb.GrantorEntity(privilege=pb.PrivilegeEntity(name=privilege)),
        type=pb.OperatePrivilegeType.Grant if give else pb.OperatePrivilegeType.Revoke,
        db_name=database,
        collection_name=collection,
    )


def members(*privileges: str, remove: bool = False) -> Any:
    kinds = pb.OperatePrivilegeGroupType
    return pb.OperatePrivilegeGroupRequest(
        group_name="finders",
        privileges=[pb.PrivilegeEntity(name=name) for name in privileges],
        type=kinds.RemovePrivilegesFromGroup if remove else kinds.AddPrivilegesToGroup,
    )


@pytest.mark.parametrize("dress", GROUPS)
async def test_what_a_group_loses_stays_with_its_users_until_the_proxies_reload(
    servers: AsyncExitStack, dress: str
) -> None:
    double, root = await start(servers, dress)
    await root.call("CreateRole", pb.CreateRoleRequest(entity=pb.RoleEntity(name="r")))
    user = pb.CreateCredentialRequest(username="ann", password=base64.b64encode(b"ann-pw-1").decode())
    await root.call("CreateCredential", user)
    bind = pb.OperateUserRoleRequest(username="ann", role_name="r")
    await root.call("OperateUserRole", bind)
    await root.call("CreatePrivilegeGroup", pb.CreatePrivilegeGroupRequest(group_name="finders"))
    await root.call("OperatePrivilegeGroup", members("Search", "Query"))
    await root.call("OperatePrivilegeV2", grant("r", "finders", "default", "orders"))
    await root.call("OperatePrivilegeGroup", members("Query", remove=True))
    allows = double.core.proxies.allows
    assert double.core.store.groups["finders"] == ["Search"]
    assert allows("ann", "Query", "default", "orders")
    assert not allows("ann", "Query", "default", "others")
    await root.call("OperatePrivilegeV2", grant("r", "Query", "default", "orders", give=False))
    assert (allows("ann", "Query", "default", "orders"), allows("ann", "Search", "default", "orders")) == (
        False,
        True,
    )
    await root.call("OperatePrivilegeGroup", members("Query"))
    await root.call("OperatePrivilegeGroup", members("Query", remove=True))
    double.core.proxies.reload()
    assert not allows("ann", "Query", "default", "orders")


async def test_a_lost_reply_is_of_something_done_and_a_refused_call_of_nothing(
    servers: AsyncExitStack,
) -> None:
    double, root = await start(servers, "3.0")
    for name, trouble in (("lost", Trouble.REPLY_LOST), ("refused", Trouble.REFUSED)):
        double.faults.add(trouble, "CreateRole")
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await root.call("CreateRole", pb.CreateRoleRequest(entity=pb.RoleEntity(name=name)))
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    assert set(double.core.store.roles) == {"admin", "public", "lost"}


async def test_a_server_can_hang_and_be_starting(servers: AsyncExitStack) -> None:
    double, root = await start(servers, "2.6")
    double.faults.add(Trouble.HANGING, "SelectRole")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await root.call("SelectRole", pb.SelectRoleRequest(), timeout=0.2)
    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    double.faults.add(Trouble.NOT_READY, "SelectRole")
    reply = await root.call("SelectRole", pb.SelectRoleRequest())
    assert "service not ready" in reply.status.reason
    assert (await root.call("SelectRole", pb.SelectRoleRequest())).status.code == 0


async def test_the_cloud_lets_a_token_in_and_takes_built_in_groups_only(servers: AsyncExitStack) -> None:
    double, admin = await start(servers, "zilliz")
    keyed = Client(double, API_KEY)
    servers.push_async_callback(keyed.channel.close)
    await keyed.call("CreateRole", pb.CreateRoleRequest(entity=pb.RoleEntity(name="r")))
    assert (await admin.call("OperatePrivilegeV2", grant("r", "CollectionReadOnly"))).code == 0
    assert "contact support" in (await admin.call("OperatePrivilegeV2", grant("r", "Search"))).reason
    group = await admin.call("CreatePrivilegeGroup", pb.CreatePrivilegeGroupRequest(group_name="g"))
    assert "contact support" in group.reason
    weak = pb.CreateCredentialRequest(username="ann", password=base64.b64encode(b"onlyletters").decode())
    assert (await admin.call("CreateCredential", weak)).code == 1100


def test_a_test_without_an_event_loop_reaches_the_double_in_its_thread() -> None:
    with DoubleThread("2.5", ServerSettings(bcrypt_cost=4)) as double:
        with MilvusAdmin(f"127.0.0.1:{double.port}") as admin:
            admin.create_user("ann", "ann-pw-1")
            assert admin.login_works("ann", "ann-pw-1")
            with pytest.raises(MilvusRefusedError):
                admin.create_user("ann", "ann-pw-2")
        assert double.ask(lambda one: "ann" in one.core.store.users)
        assert double.ask(lambda one: one.faults.count("CreateCredential")) == 2
