"""The port with a real Milvus behind it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from milvus_rbac.milvus.client import MilvusClient
from milvus_rbac.milvus.port import Address, Credentials, Milvus, Password
from testbed.milvus import MilvusFacts
from testbed.milvus_admin import ROOT_PASSWORD

Connect = Callable[..., Milvus]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Makes clients, by URI and account, that are closed with the test."""
    async with AsyncExitStack() as clients:

        def make(
            uri: str,
            user: str = "root",
            password: str = ROOT_PASSWORD,
            *,
            ca_pem: bytes | None = None,
            server_name: str | None = None,
        ) -> Milvus:
            client = MilvusClient(Address(uri, ca_pem, server_name), Credentials(user, Password(password)))
            clients.push_async_callback(client.close)
            return client

        yield make


@pytest.fixture
def door(connect: Connect, milvus: MilvusFacts) -> Milvus:
    """The shared Milvus, as root."""
    return connect(milvus.uri)
