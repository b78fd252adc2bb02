"""The same writes without an operator: what the servers need at least. Run by apply.py, as a process of its own.

It knows beforehand what is to be done, asks nothing, checks nothing, and could not go on after a crash.
"""

import asyncio
import base64
import json
import sys
import time
from pathlib import Path
from typing import Any

import grpc
from pymilvus.grpc_gen import milvus_pb2 as pb
from pymilvus.grpc_gen import milvus_pb2_grpc

from bench.kube import Kube, all_of
from bench.resources import CONNECTION, PRIVILEGES, Load

FINALIZER = "rbac.milvus.io/finalizer"
JSON_PATCH = "application/json-patch+json"
HASHING_WIDTH = 4


class Bare:
    """The writes of one load."""

    def __init__(self, load: Load, kube: Kube, stub: Any) -> None:
        self._load, self._kube, self._stub = load, kube, stub
        self._metadata = (("authorization", base64.b64encode(b"root:Milvus").decode()),)

    async def run(self) -> None:
        """Write in the order that keeps promises: finalizers, intents, Milvus, statuses."""
        paths = [f"{path}/{body['metadata']['name']}" for path, body in self._load.bodies()]
        finalizer = [{"op": "add", "path": "/metadata/finalizers", "value": [FINALIZER]}]
        await all_of(self._kube.send("PATCH", path, finalizer, JSON_PATCH) for path in paths)
        await self._write_intents()
        await self._write_milvus()
        bodies = [body for _, body in self._load.bodies()]
        await all_of(
            self._kube.send("PATCH", f"{path}/status", _status(body), JSON_PATCH)
            for path, body in zip(paths, bodies, strict=True)
        )

    async def _write_intents(self) -> None:
        intents = [
            {
                "uid": "0" * 36,
                "kind": body["kind"],
                "name": body["metadata"]["name"],
                "endpoint": "127.0.0.1:19530",
            }
            for _, body in self._load.bodies()
        ]
        path = f"{self._load.collection('milvusconnections')}/{CONNECTION}/status"
        body = {"status": {"inFlight": intents}}
        await self._kube.send("PATCH", path, body, "application/merge-patch+json")

    async def _write_milvus(self) -> None:
        load = self._load
        for number in range(load.roles):
            await self._call(
                "CreateRole", pb.CreateRoleRequest(entity=pb.RoleEntity(name=load.role_name(number)))
            )
        for number in range(load.roles):
            for privilege, collection in PRIVILEGES:
                await self._call("OperatePrivilege", _grant(load.role_name(number), privilege, collection))
        slots = asyncio.Semaphore(HASHING_WIDTH)

        async def create(number: int) -> None:
            password = base64.b64encode(load.password(number).encode()).decode()
            request = pb.CreateCredentialRequest(username=load.user_name(number), password=password)
            async with slots:
                await self._call("CreateCredential", request)

        await all_of(create(number) for number in range(load.users))
        for number in range(load.users):
            request = pb.OperateUserRoleRequest(
                username=load.user_name(number),
                role_name=load.role_of(number),
                type=pb.OperateUserRoleType.AddUserToRole,
            )
            await self._call("OperateUserRole", request)

    async def _call(self, method: str, request: Any) -> None:
        reply = await getattr(self._stub, method)(request, metadata=self._metadata, timeout=30)
        if reply.error_code or reply.code:
            raise RuntimeError(f"{method}: {reply.reason}")


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
    """Say about as much as the operator does."""
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
        "claim": {"endpoint": "127.0.0.1:19530", "name": name, "origin": "Created"},
        "conditions": [ready],
    }
    return [{"op": "add", "path": "/status", "value": status}]


async def main() -> None:
    """Read from standard input what is to be done; print how long it took."""
    task = json.load(sys.stdin)
    load = Load(**task["load"])
    async with (
        Kube.connect(task["url"], Path(task["ca"]), task["token"]) as kube,
        grpc.aio.insecure_channel(task["milvus"]) as channel,
    ):
        bare = Bare(load, kube, milvus_pb2_grpc.MilvusServiceStub(channel))
        started, cpu = time.perf_counter(), time.process_time()
        await bare.run()
        print(json.dumps({"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}))


if __name__ == "__main__":
    asyncio.run(main())
