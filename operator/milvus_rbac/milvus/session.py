"""One account on one channel: calls that either give a reply or raise what errors.py knows."""

import asyncio
import base64
from typing import Any, Final, Self

from milvus_rbac.domain.conditions import Reason
from milvus_rbac.errors import InternalError, Refused, Unreachable
from milvus_rbac.milvus import refusals, translate
from milvus_rbac.milvus.endpoint import Endpoint, open_channel, speaks_tls, wants_certificate
from milvus_rbac.milvus.listener import DEAF, CallResult, Listener
from milvus_rbac.milvus.port import WRITE_SECONDS, Credentials
from milvus_rbac.milvus.stubs import MilvusServiceStub, grpc, milvus_pb2

LOGIN_SECONDS: Final = 5.0
READ_SECONDS: Final = 10.0


class Session:
    """A channel of its own for one account; to be closed."""

    def __init__(self, endpoint: Endpoint, credentials: Credentials, listener: Listener = DEAF) -> None:
        self.endpoint = endpoint
        self.listener = listener
        self._metadata = (("authorization", encode(credentials.token)),)
        self.cloud = False
        """The other side is Zilliz Cloud, whose refusals are nowhere written down."""
        self._channel = open_channel(endpoint)
        self._stub = MilvusServiceStub(self._channel)
        self._closed = False
        self._watch: asyncio.Task[None] | None = None
        self.interrupted = False
        """Whether the connection broke since `watch` was called: another server, or one with other settings, may answer."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection, and every call that is under way."""
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})
        await self._channel.close()

    def watch(self) -> None:
        """Notice from now on when the connection breaks, even if nobody calls meanwhile."""
        self.interrupted = False
        if self._watch is None:
            self._watch = asyncio.create_task(self._notice_breaks(), name="milvus-rbac channel")

    async def _notice_breaks(self) -> None:
        while True:
            state = self._channel.get_state()
            await self._channel.wait_for_state_change(state)
            if state is grpc.ChannelConnectivity.READY:
                self.interrupted = True

    async def read(self, method: str, request: Any) -> Any:
        """Ask something."""
        return await self._call(method, request, READ_SECONDS)

    async def write(self, method: str, request: Any) -> None:
        """Change something: one attempt."""
        await self._call(method, request, WRITE_SECONDS)

    async def log_in(self) -> str:
        """Prove the credentials with the one call that needs no privilege and no other part of Milvus; its version."""
        try:
            reply = await self._call("GetVersion", milvus_pb2.GetVersionRequest(), LOGIN_SECONDS)
        except Unreachable as error:
            if error.refusal.reason is not Reason.UNREACHABLE:
                raise
            if not self.endpoint.secure and await speaks_tls(self.endpoint):
                raise translate.tls_wanted(self.endpoint) from None
            if self.endpoint.secure and not self.endpoint.client and await wants_certificate(self.endpoint):
                raise translate.certificate_wanted(self.endpoint) from None
            raise
        return str(reply.version)

    async def _call(self, method: str, request: Any, timeout: float) -> Any:
        try:
            reply = await self._attempt(method, request, timeout)
        except Exception as error:  # one that is cancelled tells nothing of the server
            self.listener.called(method, _result(error))
            raise
        self.listener.called(method, "ok")
        return reply

    async def _attempt(self, method: str, request: Any, timeout: float) -> Any:
        try:
            if self._closed:
                raise _closed(self.endpoint)
            reply = await getattr(self._stub, method)(request, metadata=self._metadata, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            # Not chained: gRPC's own text says the same with noise.
            raise translate.from_rpc(error.code(), error.details() or "", self.endpoint) from None
        except asyncio.CancelledError:
            # Closing a channel looks like a cancellation to the tasks that wait on it.
            if self._closed:
                raise _closed(self.endpoint) from None
            raise
        status = getattr(reply, "status", reply)
        if status.error_code or status.code:
            refused = refusals.from_status(status)
            if self.cloud and isinstance(refused, InternalError):
                raise refusals.unsupported_by_cloud(status)
            raise refused
        return reply


def encode(text: str) -> str:
    """Encode as Milvus wants passwords and tokens on the wire."""
    return base64.b64encode(text.encode()).decode()


def _result(error: Exception) -> CallResult:
    if isinstance(error, Refused):
        return "refused"
    return "unreachable" if isinstance(error, Unreachable) else "failed"


def _closed(endpoint: Endpoint) -> Unreachable:
    return Unreachable(Reason.UNREACHABLE, f"The operator closed its connection to {endpoint.name}.")
