"""The same writes without an operator: what the servers need at least. Run as a process of its own.

It knows beforehand what is to be done, asks nothing, checks nothing, and could not go on after a crash. Like the operator it
works in batches, for a MilvusConnection holds so many intents and no more.
"""

import asyncio
import base64
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
from pymilvus.grpc_gen import milvus_pb2 as pb
from pymilvus.grpc_gen import milvus_pb2_grpc

from bench.kube import Kube, all_of
from bench.resources import CONNECTION, PRIVILEGES, Load

ADD_FINALIZER = [{"op": "add", "path": "/metadata/finalizers", "value": ["rbac.milvus.io/finalizer"]}]
JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
HASHING_WIDTH = 4
BATCH = 500
"""As the operator's."""
ENDPOINT = "127.0.0.1:19530"
STARTED = "started"
"""The line on standard output after which it can be told to begin."""

Body = tuple[str, dict[str, Any]]


def batches(bodies: Sequence[Body], size: int = BATCH) -> list[Sequence[Body]]:
    """Return the resources in the parts in which they are written."""
    return [bodies[start : start + size] for start in range(0, len(bodies), size)]


class Bare:
    """The writes of one load."""

    def __init__(self, load: Load, kube: Kube, stub: Any) -> None:
        self._load, self._kube, self._stub = load, kube, stub
        self._metadata = (("authorization", base64.b64encode(b"root:Milvus").decode()),)

    async def run(self) -> None:
        """Write batch after batch, each in the order that keeps promises: finalizers, intents, Milvus, statuses."""
        for batch in batches(self._load.bodies()):
            await self._patch_all(batch, "", lambda _: ADD_FINALIZER)
            await self._write_intents(batch)
            await self._write_milvus([body["spec"] for _, body in batch])
            await self._patch_all(batch, "/status", _status)

    async def _patch_all(self, batch: Sequence[Body], part: str, patch: Callable[[Any], Any]) -> None:
        await all_of(
            self._kube.send("PATCH", f"{path}/{body['metadata']['name']}{part}", patch(body), JSON_PATCH)
            for path, body in batch
        )

    async def _write_intents(self, batch: Sequence[Body]) -> None:
        intents = [
            {"uid": "0" * 36, "kind": body["kind"], "name": body["metadata"]["name"], "endpoint": ENDPOINT}
            for _, body in batch
        ]
        path = f"{self._load.collection('milvusconnections')}/{CONNECTION}/status"
        await self._kube.send("PATCH", path, {"status": {"inFlight": intents}}, MERGE_PATCH)

    async def _write_milvus(self, specs: Sequence[dict[str, Any]]) -> None:
        roles = [spec["roleName"] for spec in specs if "roleName" in spec]
        users = [spec for spec in specs if "userName" in spec]
        for role in roles:
            await self._call("CreateRole", pb.CreateRoleRequest(entity=pb.RoleEntity(name=role)))
        for role in roles:
            for privilege, collection in PRIVILEGES:
                await self._call("OperatePrivilege", _grant(role, privilege, collection))
        slots = asyncio.Semaphore(HASHING_WIDTH)

        async def create(spec: dict[str, Any]) -> None:
            number = int(spec["passwordSecretRef"]["name"].removeprefix("u"))
            password = base64.b64encode(self._load.password(number).encode()).decode()
            request = pb.CreateCredentialRequest(username=spec["userName"], password=password)
            async with slots:
                await self._call("CreateCredential", request)

        await all_of(create(spec) for spec in users)
        for spec in users:
            for role in spec["roles"]:
                await self._call("OperateUserRole", _binding(spec["userName"], role))

    async def _call(self, method: str, request: Any) -> None:
        reply = await getattr(self._stub, method)(request, metadata=self._metadata, timeout=30)
        if reply.error_code or reply.code:
            raise RuntimeError(f"{method}: {reply.reason}")


def _binding(user: str, role: str) -> Any:
    operation = pb.OperateUserRoleType.AddUserToRole
    return pb.OperateUserRoleRequest(username=user, role_name=role, type=operation)


def _grant(role: str, privilege: str, collection: str) -> Any:
    entity = pb.GrantEntity(
        role=pb.RoleEntity(name=role),
        object=pb.ObjectEntity(name="Collection"),
        object_name=collection,
        db_name="default",
        grantor=pb.GrantorEntity(privilege=pb.PrivilegeEntity(name=privilege)),
    )
    return pb.OperatePrivilegeRequest(entity=entity, type=pb.OperatePrivilegeType.Grant)


def _status(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a status as long as the operator's."""
    spec = body["spec"]
    name = spec.get("userName") or spec.get("roleName")
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Ready",
        "message": f"{body['kind']} {name} is in Milvus as its resource asks.",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    status = {
        "observedGeneration": 1,
        "claim": {"endpoint": ENDPOINT, "name": name, "origin": "Created"},
        "conditions": [ready],
    }
    return [{"op": "add", "path": "/status", "value": status}]


async def main() -> None:
    """Read on standard input what is to be done, do it at the next line, and end with the input."""
    task = json.loads(sys.stdin.readline())
    load = Load(**task["load"])
    async with (
        Kube.connect(task["url"], Path(task["ca"]), task["token"]) as kube,
        grpc.aio.insecure_channel(task["milvus"]) as channel,
    ):
        bare = Bare(load, kube, milvus_pb2_grpc.MilvusServiceStub(channel))
        print(STARTED, flush=True)
        sys.stdin.readline()
        await bare.run()
        sys.stdin.read()


if __name__ == "__main__":
    asyncio.run(main())
