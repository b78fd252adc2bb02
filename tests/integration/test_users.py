"""Stories of users: from a MilvusUser to a login that works, with exactly the roles that it lists."""

import grpc
from pymilvus.grpc_gen import milvus_pb2, schema_pb2

from support.story import Story
from testbed.milvus_admin import MilvusAdmin

PASSWORD = "Secret-1"  # noqa: S105 - a test's


def make_collection(admin: MilvusAdmin, name: str) -> None:
    """A collection that can be asked about, with the smallest schema that Milvus takes."""
    key = schema_pb2.FieldSchema(name="id", data_type=schema_pb2.Int64, is_primary_key=True)
    vector = schema_pb2.FieldSchema(name="vector", data_type=schema_pb2.FloatVector)
    vector.type_params.add(key="dim", value="2")
    schema = schema_pb2.CollectionSchema(name=name, fields=[key, vector])
    request = milvus_pb2.CreateCollectionRequest(
        collection_name=name, schema=schema.SerializeToString(), shards_num=1
    )
    admin.rpc("CreateCollection", request)


def drop_collection(admin: MilvusAdmin, name: str) -> None:
    admin.rpc("DropCollection", milvus_pb2.DropCollectionRequest(collection_name=name))


def may_count(user: MilvusAdmin, collection: str) -> bool:
    """Whether GetStatistics is allowed."""
    request = milvus_pb2.GetCollectionStatisticsRequest(collection_name=collection)
    return is_allowed(user, "GetCollectionStatistics", request)


def may_look_for_partitions(user: MilvusAdmin, collection: str) -> bool:
    """Whether HasPartition is allowed."""
    request = milvus_pb2.HasPartitionRequest(collection_name=collection, partition_name="_default")
    return is_allowed(user, "HasPartition", request)


def is_allowed(user: MilvusAdmin, method: str, request: object) -> bool:
    try:
        user.rpc(method, request)
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.PERMISSION_DENIED:
            return False
        raise
    return True


def test_from_apply_to_a_login_that_may_do_what_is_granted_and_nothing_else(
    story: Story, admin: MilvusAdmin
) -> None:
    role, user, collection = story.unique("role"), story.unique("user"), story.unique("orders")
    make_collection(admin, collection)
    story.password("app", PASSWORD)
    story.role("reader", role, {"privileges": ["GetStatistics"], "collections": [collection]})
    story.user("app", user, role)
    story.wait_ready("MilvusRole", "reader")
    body = story.wait_ready("MilvusUser", "app")
    assert admin.login_works(user, PASSWORD)
    with MilvusAdmin(admin.address, user, PASSWORD) as login:
        story.wait(lambda: may_count(login, collection), "the granted call is allowed")
        assert not may_look_for_partitions(login, collection)
    drop_collection(admin, collection)
    assert body["status"]["roles"] == [role]
    assert body["status"]["roleCount"] == 1
    assert body["status"]["claim"] == {"endpoint": story.milvus.address, "name": user, "origin": "Created"}
    assert sorted(story.written) == [
        "CreateCredential",
        "CreateRole",
        "OperatePrivilege",
        "OperateUserRole",
    ]


def test_taking_a_row_out_ends_what_the_user_may_do(story: Story, admin: MilvusAdmin) -> None:
    role, user, collection = story.unique("role"), story.unique("user"), story.unique("orders")
    make_collection(admin, collection)
    story.password("app", PASSWORD)
    keep = {"privileges": ["HasPartition"], "collections": [collection]}
    story.role("reader", role, {"privileges": ["GetStatistics"], "collections": [collection]}, keep)
    story.user("app", user, role)
    story.wait_ready("MilvusUser", "app")
    with MilvusAdmin(admin.address, user, PASSWORD) as login:
        story.wait(lambda: may_count(login, collection), "the granted call is allowed")
        story.role("reader", role, keep)
        story.wait_ready("MilvusRole", "reader")
        story.wait(lambda: not may_count(login, collection), "the call is denied")
        assert may_look_for_partitions(login, collection)
    drop_collection(admin, collection)


def test_spec_roles_binds_and_unbinds(story: Story, admin: MilvusAdmin) -> None:
    first, second, user = story.unique("role"), story.unique("role"), story.unique("user")
    story.password("app", PASSWORD)
    story.role("first", first)
    story.role("second", second)
    story.user("app", user, first)
    assert story.wait_ready("MilvusUser", "app")["status"]["roles"] == [first]
    story.wait_ready("MilvusRole", "second")
    story.user("app", user, first, second)
    assert story.wait_ready("MilvusUser", "app")["status"]["roles"] == sorted([first, second])
    members = admin.members()
    assert members[first] == {user}
    assert members[second] == {user}
    story.user("app", user, second)
    assert story.wait_ready("MilvusUser", "app")["status"]["roles"] == [second]
    members = admin.members()
    assert members[first] == set()
    assert members[second] == {user}


def test_the_role_admin_can_be_held(story: Story, admin: MilvusAdmin) -> None:
    user = story.unique("user")
    story.password("app", PASSWORD)
    story.user("app", user, "admin")
    story.wait_ready("MilvusUser", "app")
    assert user in admin.members()["admin"]


def test_a_user_without_roles_is_ready(story: Story, admin: MilvusAdmin) -> None:
    user = story.unique("user")
    story.password("app", PASSWORD)
    story.user("app", user)
    assert story.wait_ready("MilvusUser", "app")["status"]["roleCount"] == 0
    assert admin.login_works(user, PASSWORD)


def test_the_password_can_be_under_a_key_of_its_own(story: Story, admin: MilvusAdmin) -> None:
    user = story.unique("user")
    story.secret("app", {"password": "Other-one-1", "milvus": PASSWORD})
    story.user("app", user, passwordSecretRef={"name": "app", "key": "milvus"})
    story.wait_ready("MilvusUser", "app")
    assert admin.login_works(user, PASSWORD)
    assert not admin.login_works(user, "Other-one-1")


def test_naming_another_key_of_the_same_secret_counts_at_once(story: Story, admin: MilvusAdmin) -> None:
    user = story.unique("user")
    story.secret("app", {"first": PASSWORD, "second": "Other-one-1"})
    story.user("app", user, passwordSecretRef={"name": "app", "key": "missing"})
    story.wait_reason("MilvusUser", "app", "SecretKeyMissing")
    story.user("app", user, passwordSecretRef={"name": "app", "key": "first"})
    story.wait_ready("MilvusUser", "app")
    assert admin.login_works(user, PASSWORD)
    story.user("app", user, passwordSecretRef={"name": "app", "key": "second"})
    story.wait(lambda: admin.login_works(user, "Other-one-1"), "the other key's password is in force")


def test_a_user_waits_for_its_secret_and_is_made_when_it_comes(story: Story, admin: MilvusAdmin) -> None:
    user = story.unique("user")
    story.user("app", user)
    condition = story.wait_reason("MilvusUser", "app", "WaitingForSecret")
    assert f"{story.namespace}/app" in condition["message"]
    assert user not in admin.users()
    story.password("app", PASSWORD)
    story.wait_ready("MilvusUser", "app")
    assert admin.login_works(user, PASSWORD)


def test_a_user_waits_for_a_role_and_is_bound_when_the_role_is_made(story: Story, admin: MilvusAdmin) -> None:
    role, user = story.unique("role"), story.unique("user")
    story.password("app", PASSWORD)
    story.user("app", user, role)
    condition = story.wait_reason("MilvusUser", "app", "WaitingForRole")
    assert role in condition["message"]
    assert admin.login_works(user, PASSWORD)
    story.role("reader", role)
    story.wait_ready("MilvusUser", "app")
    assert admin.members()[role] == {user}


def test_a_user_keeps_its_other_roles_when_one_is_deleted(story: Story, admin: MilvusAdmin) -> None:
    first, second, user = story.unique("role"), story.unique("role"), story.unique("user")
    story.password("app", PASSWORD)
    story.role("first", first)
    story.role("second", second)
    story.user("app", user, first, second)
    story.wait_ready("MilvusUser", "app")
    story.delete("MilvusRole", "first")
    story.wait_gone("MilvusRole", "first")
    condition = story.wait_reason("MilvusUser", "app", "WaitingForRole")
    assert first in condition["message"]
    body = story.get("MilvusUser", "app")
    assert body is not None
    assert body["status"]["roles"] == [second]
    assert admin.members()[second] == {user}


def test_a_name_that_this_server_does_not_take_is_said(story: Story, admin: MilvusAdmin) -> None:
    user = f"{story.unique('user')}.app"
    story.password("app", PASSWORD)
    story.user("app", user)
    story.wait_reason("MilvusUser", "app", "InvalidName")
    assert user not in admin.users()
    story.delete("MilvusUser", "app")
    story.wait_gone("MilvusUser", "app")


def test_deleting_a_user_ends_its_login(story: Story, admin: MilvusAdmin) -> None:
    role, user = story.unique("role"), story.unique("user")
    story.password("app", PASSWORD)
    story.role("reader", role)
    story.user("app", user, role)
    story.wait_ready("MilvusUser", "app")
    story.delete("MilvusUser", "app")
    story.wait_gone("MilvusUser", "app")
    assert not admin.login_works(user, PASSWORD)
    assert admin.members()[role] == set()
