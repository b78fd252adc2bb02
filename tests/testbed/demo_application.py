"""An application that uses Milvus the way applications do: with pymilvus, one collection and a user's password."""

import logging
from collections.abc import Callable
from typing import Any, Final

import grpc
from pymilvus import DataType, MilvusClient

COLLECTION: Final = "orders"
ROWS: Final = 3

# It logs every refusal with a traceback; here refusals are the point.
logging.getLogger("pymilvus").setLevel(logging.CRITICAL)


def fill(uri: str, user: str, password: str) -> None:
    """Makes the collection, with a few rows and ready to be queried."""
    client = MilvusClient(uri=uri, user=user, password=password)
    schema = client.create_schema(auto_id=False)
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="L2")
    client.create_collection(COLLECTION, schema=schema, index_params=index, consistency_level="Strong")
    client.insert(COLLECTION, [_row(number) for number in range(ROWS)])
    client.close()


class Application:
    """One user's connection to Milvus."""

    def __init__(self, uri: str, user: str, password: str) -> None:
        self._client = MilvusClient(uri=uri, user=user, password=password)

    def query(self) -> int:
        """Reads the collection; how many rows it got."""
        return len(self._client.query(COLLECTION, filter="id >= 0"))

    def insert(self) -> None:
        """Writes to the collection."""
        self._client.insert(COLLECTION, [_row(ROWS)])

    def drop(self) -> None:
        """Drops the collection."""
        self._client.drop_collection(COLLECTION)

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()


def denial(call: Callable[[], object]) -> str | None:
    """What Milvus says when it does not permit a call; None if it does."""
    try:
        call()
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.PERMISSION_DENIED:
            return str(error.details())
        raise
    return None


def _row(number: int) -> dict[str, Any]:
    return {"id": number, "vector": [float(number), 0.0]}
