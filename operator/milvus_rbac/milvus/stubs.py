"""The generated gRPC stubs of pymilvus, and nothing else of it. All use of gRPC and of the protos goes through here.

Importing pymilvus as a whole loads pandas (48 MiB and half a second of CPU at every start), reads a `.env` file from the
working directory and sets up loggers with handlers. The stubs need none of that, so they are found without running the
package's own `__init__`; code that imports pymilvus afterwards still gets all of it.
"""

import importlib.util
import os
import sys
from types import ModuleType

# Read by gRPC's core when it is loaded. A failed TLS handshake is reported by the call; the core would print it too.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc


def _stand_in() -> ModuleType:
    """Return a package that only knows where its modules are."""
    found = importlib.util.find_spec("pymilvus")
    if found is None or found.submodule_search_locations is None:
        raise ImportError("pymilvus is not installed")
    package = ModuleType("pymilvus")
    package.__path__ = list(found.submodule_search_locations)
    return package


_is_ours = "pymilvus" not in sys.modules
if _is_ours:
    sys.modules["pymilvus"] = _stand_in()

from pymilvus.grpc_gen import common_pb2, milvus_pb2  # noqa: E402 - after the stand-in
from pymilvus.grpc_gen.milvus_pb2_grpc import MilvusServiceStub  # noqa: E402 - after the stand-in

if _is_ours:
    del sys.modules["pymilvus"]

__all__ = ["MilvusServiceStub", "common_pb2", "grpc", "milvus_pb2"]
