"""The double on a socket."""

import asyncio
from typing import Any, Self

import grpc
from pymilvus.grpc_gen import common_pb2, milvus_pb2

from support.double import gate
from support.double.core import Core
from support.double.dress import DRESSES
from support.double.faults import Faults, Trouble
from support.double.replies import RefusalError, RpcError
from support.double.settings import ServerSettings

_METHODS = {method.name: method for method in milvus_pb2.DESCRIPTOR.services_by_name["MilvusService"].methods}


_REFUSALS = {
    Trouble.NOT_READY: RefusalError(
        "NotReadyServe", 1, "service not ready[rootcoord=1]: Initializing", is_input=False
    ),
    Trouble.UNHEARD_OF: RefusalError("UnexpectedError", 65535, "the moon is full", is_input=False),
}


class Double(grpc.GenericRpcHandler):
    """A server of one version; to be started and stopped in a running event loop."""

    def __init__(self, dress: str, settings: ServerSettings | None = None) -> None:
        self.core = Core.fresh(DRESSES[dress], settings or ServerSettings())
        self.faults = Faults()
        self.port = 0
        self._server: grpc.aio.Server | None = None
        self._options = (("grpc.so_reuseport", 0),)

    @property
    def uri(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; on the same port as before, if it did before."""
        self._server = grpc.aio.server(options=self._options)
        self._server.add_generic_rpc_handlers((self,))
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        """End abruptly, as a process that is killed."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(None)

    def service(self, handler_call_details: Any) -> Any:
        """Give grpc the handler of a method."""
        _, service, name = handler_call_details.method.split("/")
        if service != gate.SERVICE or name not in _METHODS:
            return None
        metadata = {key.lower(): value for key, value in handler_call_details.invocation_metadata}
        method = _METHODS[name]

        async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            return await self._answer(name, metadata, request, context)

        return grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=getattr(milvus_pb2, method.input_type.name).FromString,
            response_serializer=lambda reply: reply.SerializeToString(),
        )

    async def _answer(self, name: str, metadata: dict[str, str], request: Any, context: Any) -> Any:
        trouble = await self.faults.meet(name, request)
        if trouble is Trouble.HANGING:
            await asyncio.Event().wait()
        if trouble is Trouble.REFUSED:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Connection reset by peer")
        reply = None
        try:
            reply = await self._perform(name, metadata, request, trouble)
        except RpcError as error:
            await context.abort(error.code, error.details)
        if trouble is Trouble.REPLY_LOST:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
        return reply

    async def _perform(
        self, name: str, metadata: dict[str, str], request: Any, trouble: Trouble | None
    ) -> Any:
        call = gate.find(self.core, name)
        caller = gate.authenticate(self.core, metadata)
        self.faults.calls.append((name, caller.name or ""))
        gate.authorize(self.core, caller, name, call, request)
        if name == "OperatePrivilegeV2" and not request.HasField("grantor"):
            # The proxy does not look whether it is there (2.4 to 3.0), and the process ends.
            task = asyncio.create_task(self.stop())
            await asyncio.wait({task})
            raise RpcError(grpc.StatusCode.UNAVAILABLE, "Stream removed (Socket closed)")
        if trouble in _REFUSALS:
            return self._refuse(name, _REFUSALS[trouble].status)
        try:
            return await call.handler(self.core, caller, request)
        except RefusalError as refusal:
            return self._refuse(name, refusal.status)

    def _refuse(self, name: str, status: common_pb2.Status) -> Any:
        reply = getattr(milvus_pb2, _METHODS[name].output_type.name, None)
        return status if reply is None else reply(status=status)
