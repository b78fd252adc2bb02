"""Clients for the contract tests, and what is printed at their end."""

from collections import defaultdict
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
            client = MilvusClient(
                Address(uri, ca_pem, server_name=server_name), Credentials(user, Password(password))
            )
            clients.push_async_callback(client.close)
            return client

        yield make


@pytest.fixture
def client(connect: Connect, milvus: MilvusFacts) -> Milvus:
    """The shared Milvus, as root."""
    return connect(milvus.uri)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints how much of the recordings was replayed."""
    counts: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for report in terminalreporter.stats.get("passed", ()):
        for name, value in getattr(report, "user_properties", ()):
            if name == "transcript" and report.when == "call":
                version, *numbers = str(value).rsplit(maxsplit=3)
                counts[version] = [sum(pair) for pair in zip(counts[version], map(int, numbers), strict=True)]
    for version, (steps, different, late) in sorted(counts.items()):
        terminalreporter.write_line(
            f"transcript of {version}: {steps} steps replayed, {steps - different} equal, {different} listed as different;"
            f" {late} where the proxies knew of a change as late as those that were recorded"
        )
