"""A server that does not answer, breaks off, or speaks otherwise than expected."""

import asyncio
import time
from collections.abc import Callable

import pytest
import trustme

from contract.conftest import Connect
from contract.support import do, look
from milvus_rbac.domain.changes import CreateRole
from milvus_rbac.domain.conditions import Reason
from milvus_rbac.domain.state import Scope
from milvus_rbac.milvus.errors import InternalError, Unreachable
from milvus_rbac.milvus.port import Milvus, PasswordTexts
from testbed.milvus import TLS, TLS_NAME, MilvusFacts, Profile
from testbed.milvus_admin import MilvusAdmin
from testbed.milvus_forwarder import MilvusForwarder
from testbed.names import Unique
from testbed.processes import free_port

Profiles = Callable[[Profile], MilvusFacts]


async def _why(client: Milvus) -> Unreachable:
    with pytest.raises(Unreachable) as unreachable:
        await client.probe()
    return unreachable.value


async def test_an_address_where_nothing_listens_is_unreachable_at_once(connect: Connect) -> None:
    address = f"127.0.0.1:{free_port()}"
    began = time.monotonic()
    error = await _why(connect(f"http://{address}"))
    assert time.monotonic() - began < 2
    assert error.refusal.reason is Reason.UNREACHABLE
    assert address in error.refusal.message
    assert "refuses connections" in error.refusal.message


async def test_a_host_without_a_name_is_said_to_be_unknown(connect: Connect) -> None:
    error = await _why(connect("http://no-such-host.invalid:19530"))
    assert error.refusal.reason is Reason.UNREACHABLE
    assert "DNS" in error.refusal.message


async def test_a_black_hole_ends_with_the_timeout(connect: Connect, forwarder: MilvusForwarder) -> None:
    forwarder.black_hole()
    began = time.monotonic()
    error = await _why(connect(forwarder.uri))
    assert time.monotonic() - began < 10
    assert error.refusal.reason is Reason.UNREACHABLE
    assert "did not answer in time" in error.refusal.message


async def test_a_lost_reply_is_unreachable_although_it_was_written(
    connect: Connect, forwarder: MilvusForwarder, admin: MilvusAdmin, unique: Unique
) -> None:
    client, role = connect(forwarder.uri), unique("role")
    await client.probe()
    forwarder.clear()
    forwarder.lose_reply("CreateRole")
    with pytest.raises(Unreachable):
        await do(client, CreateRole(role))
    assert [call.method for call in forwarder.writes()] == ["CreateRole"]
    assert role in admin.roles()


async def test_a_read_that_breaks_off_breaks_the_whole_observation(
    connect: Connect, forwarder: MilvusForwarder
) -> None:
    """Half a state would look like drift."""
    client = connect(forwarder.uri)
    await client.probe()
    forwarder.lose_reply("SelectGrant")
    with pytest.raises(Unreachable):
        await client.observe(Scope({"admin": frozenset(), "public": frozenset()}), PasswordTexts())


async def test_a_connection_heals_by_itself_within_seconds(
    connect: Connect, forwarder: MilvusForwarder
) -> None:
    client = connect(forwarder.uri)
    await client.probe()
    forwarder.drop_all()
    for _ in range(5):
        await _why(client)
    forwarder.restore()
    deadline = time.monotonic() + 5
    while True:
        try:
            await client.probe()
        except Unreachable:
            assert time.monotonic() < deadline
        else:
            break


async def test_a_closed_client_is_unreachable(connect: Connect, milvus: MilvusFacts) -> None:
    client = connect(milvus.uri)
    await client.probe()
    await client.close()
    assert (await _why(client)).refusal.reason is Reason.UNREACHABLE


async def test_closing_a_client_ends_its_calls_as_unreachable(
    connect: Connect, forwarder: MilvusForwarder, unique: Unique
) -> None:
    """As a cancellation it would end the task that waits, and the reason would be lost."""
    client = connect(forwarder.uri)
    await client.probe()
    forwarder.delay("CreateRole", 20)
    began = asyncio.Event()
    change = asyncio.create_task(client.apply(CreateRole(unique("role")), PasswordTexts(), began.set))
    await began.wait()
    await asyncio.sleep(0)
    await client.close()
    with pytest.raises(Unreachable):
        await change


async def test_a_cancelled_call_stays_cancelled(
    connect: Connect, forwarder: MilvusForwarder, unique: Unique
) -> None:
    client = connect(forwarder.uri)
    await client.probe()
    forwarder.delay("CreateRole", 20)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(do(client, CreateRole(unique("role"))), 0.2)


@pytest.mark.parametrize("uri", ["milvus:19530", "tcp://milvus:19530", "http://", "unix:///socket"])
def test_an_address_of_another_kind_is_no_address(connect: Connect, uri: str) -> None:
    with pytest.raises(InternalError):
        connect(uri)


@pytest.mark.parametrize("server_name", [None, TLS_NAME, "localhost"])
async def test_tls_works_with_the_ca_and_any_name_of_the_certificate(
    connect: Connect, milvus_profile: Profiles, server_name: str | None
) -> None:
    facts = milvus_profile(TLS)
    client = connect(facts.uri, ca_pem=facts.ca_pem, server_name=server_name)
    assert (await client.probe()).authorization
    assert "root" in (await look(client)).users


async def test_tls_with_an_unknown_ca_names_the_field(connect: Connect, milvus_profile: Profiles) -> None:
    facts = milvus_profile(TLS)
    for ca_pem in (None, trustme.CA().cert_pem.bytes()):
        error = await _why(connect(facts.uri, ca_pem=ca_pem))
        assert error.refusal.reason is Reason.TLS_MISMATCH
        assert "spec.tls.caSecretRef" in error.refusal.message


async def test_tls_with_something_else_than_a_certificate_names_the_field(
    connect: Connect, milvus_profile: Profiles
) -> None:
    error = await _why(connect(milvus_profile(TLS).uri, ca_pem=b"no certificate"))
    assert error.refusal.reason is Reason.TLS_MISMATCH
    assert "spec.tls.caSecretRef" in error.refusal.message


async def test_tls_with_another_name_names_the_field(connect: Connect, milvus_profile: Profiles) -> None:
    facts = milvus_profile(TLS)
    error = await _why(connect(facts.uri, ca_pem=facts.ca_pem, server_name="other.test"))
    assert error.refusal.reason is Reason.TLS_MISMATCH
    assert "spec.tls.serverName" in error.refusal.message


async def test_plaintext_to_a_tls_port_says_to_write_https(
    connect: Connect, milvus_profile: Profiles
) -> None:
    error = await _why(connect(milvus_profile(TLS).uri.replace("https", "http")))
    assert error.refusal.reason is Reason.TLS_MISMATCH
    assert "https://" in error.refusal.message


async def test_tls_to_a_plaintext_port_says_to_write_http(connect: Connect, milvus: MilvusFacts) -> None:
    error = await _why(connect(milvus.uri.replace("http", "https")))
    assert error.refusal.reason is Reason.TLS_MISMATCH
    assert "http://" in error.refusal.message
