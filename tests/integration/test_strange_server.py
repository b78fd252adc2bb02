"""A server that speaks gRPC and answers what no Milvus would: nobody is hurt, and the answer is shown."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from support.story import Story


class Stranger(grpc.GenericRpcHandler):
    """Answers every call with the same odd status."""

    def service(self, _: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """Take any method of any service."""

        def answer(_request: bytes, context: grpc.ServicerContext) -> bytes:
            context.abort(grpc.StatusCode.DATA_LOSS, "the cellar is flooded")

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture
def stranger() -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(2), handlers=[Stranger()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop(grace=None).wait()


def test_an_answer_that_nobody_expected_is_shown_and_stops_nobody_else(story: Story, stranger: str) -> None:
    story.connection("strange", uri=stranger)
    said = story.wait_reason("MilvusConnection", "strange", "InternalError")
    assert "the cellar is flooded" in said["message"]

    role = story.unique("role")
    story.role("reader", role, {"privileges": ["Search"], "collections": ["*"]})
    story.wait_ready("MilvusRole", "reader")

    story.delete("MilvusConnection", "strange")
    story.wait_gone("MilvusConnection", "strange")
