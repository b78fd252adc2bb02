"""No password gets out, whatever goes wrong."""

import logging
import traceback
from collections.abc import Awaitable

import pytest

from contract.conftest import Connect
from contract.support import do, look, password_texts
from milvus_rbac.domain.changes import CreateUser, PasswordMeans, RecreateUser, UpdatePassword
from milvus_rbac.milvus.channel import encode
from milvus_rbac.milvus.errors import MilvusRbacError
from milvus_rbac.milvus.port import Credentials, Password
from testbed.milvus import MilvusFacts
from testbed.milvus_forwarder import MilvusForwarder
from testbed.names import Unique

SECRET = "zq-very-secret"  # noqa: S105 - what must not be found
OTHER = "zq-other-secret"


async def _said(call: Awaitable[object]) -> str:
    """Return everything in an error, its causes included."""
    try:
        await call
    except MilvusRbacError as error:
        return "".join(traceback.format_exception(error)) + repr(error) + str(vars(error))
    return ""


async def test_no_password_is_in_an_error_or_a_log(
    connect: Connect,
    milvus: MilvusFacts,
    forwarder: MilvusForwarder,
    unique: Unique,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    user, client = unique("user"), connect(milvus.uri)
    through, stranger = connect(forwarder.uri), connect(milvus.uri, user, OTHER)
    texts = password_texts({user: SECRET}, {user: OTHER})
    bad = password_texts({"1a": SECRET, user: SECRET + "x" * 100})

    await do(client, CreateUser(user), texts=texts)
    said = [
        await _said(do(client, CreateUser(user), texts=texts)),
        await _said(do(client, CreateUser("1a"), texts=bad)),
        await _said(do(client, RecreateUser(user, frozenset({unique("gone")})), texts=texts)),
        await _said(do(client, UpdatePassword(user, PasswordMeans.KNOWN_TEXT), texts=texts)),
        await _said(do(client, UpdatePassword(user, PasswordMeans.SUPERUSER), texts=texts)),
        await _said(do(client, RecreateUser(user, frozenset()), texts=bad)),
        await _said(stranger.probe()),
    ]
    forwarder.drop_all()
    said.append(await _said(do(through, CreateUser(user), texts=texts)))
    assert all(said)
    await look(client, login=(user, OTHER))

    everything = "\n".join(
        [*said, caplog.text, repr(client), repr(texts), repr(Credentials(user, Password(SECRET)))]
    )
    for text in (
        SECRET,
        OTHER,
        encode(SECRET),
        encode(OTHER),
        encode(f"{user}:{OTHER}"),
        encode(f"{user}:{SECRET}"),
    ):
        assert text not in everything
