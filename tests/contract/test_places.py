"""What grants name and Milvus does not have is found, and nothing else is called missing."""

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, closing
from typing import Any

import pytest
from pymilvus import DataType, MilvusClient

from milvus_rbac.domain.changes import CreateUser
from milvus_rbac.milvus.port import Milvus
from support.double import Double, ServerSettings
from support.double.faults import Trouble
from support.double.store import Collection
from testbed.milvus import MilvusFacts
from testbed.milvus_admin import ROOT_PASSWORD

from .conftest import Connect
from .support import PASSWORD, do, password_texts

DRESSES = ("2.3", "2.4", "2.5", "2.6", "3.0")
ORDERS = ("default", "orders")
every_dress = pytest.mark.parametrize("dress", DRESSES)
Serve = Callable[[str], Any]


@pytest.fixture
async def serve(connect: Connect) -> AsyncIterator[Serve]:
    """Starts doubles with a collection and an alias; returns each with a client of root."""
    async with AsyncExitStack() as stack:

        async def start(dress: str) -> tuple[Double, Milvus]:
            double = await stack.enter_async_context(Double(dress, ServerSettings(bcrypt_cost=4)))
            double.core.store.databases |= {"default": {"orders": Collection({"latest"})}, "sales": {}}
            milvus = connect(double.uri, "root", "Milvus")
            await milvus.probe()
            return double, milvus

        yield start


@every_dress
async def test_collections_aliases_and_databases_are_told_from_what_is_not_there(
    serve: Serve, dress: str
) -> None:
    _, milvus = await serve(dress)
    there = {ORDERS, ("default", "latest"), ("sales", "*")}
    missing = {("default", "odrers"), ("sales", "orders"), ("slaes", "orders")}
    assert await milvus.missing(there | missing) == missing
    databases = {("slaes", "*")}
    # 2.3 does not describe databases, so nothing is said of them.
    assert await milvus.missing(databases) == (set() if dress == "2.3" else databases)


async def test_a_real_server_tells_them_apart_too(milvus: MilvusFacts, connect: Connect) -> None:
    client = connect(milvus.uri, "root", ROOT_PASSWORD)
    await client.probe()
    name = f"orders_{uuid.uuid4().hex[:8]}"
    with closing(MilvusClient(uri=milvus.uri, user="root", password=ROOT_PASSWORD)) as somebody:
        schema = somebody.create_schema()
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
        somebody.create_collection(name, schema=schema)
        somebody.create_alias(name, f"{name}_latest")
        missing = {("default", "odrers"), ("no_database", name)}
        found = await client.missing(
            {("default", name), ("default", f"{name}_latest"), ("no_database", "*")} | missing
        )
        somebody.drop_alias(f"{name}_latest")
        somebody.drop_collection(name)
    assert found == missing


async def test_an_account_that_may_not_look_calls_nothing_missing(serve: Serve, connect: Connect) -> None:
    double, root = await serve("3.0")
    await do(root, CreateUser("svc"), texts=password_texts({"svc": PASSWORD}))
    assert await connect(double.uri, "svc", PASSWORD).missing({("slaes", "*")}) == set()


async def test_an_answer_that_nobody_expected_is_no_missing_collection(serve: Serve) -> None:
    double, milvus = await serve("3.0")
    double.faults.add(Trouble.UNHEARD_OF, "HasCollection")
    assert await milvus.missing({("default", "odrers")}) == set()
