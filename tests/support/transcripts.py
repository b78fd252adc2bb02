"""Recorded calls of real servers, and how they are played against one that claims to be such a server."""

import asyncio
import base64
import gzip
import json
import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc, schema_pb2

FOLDER = Path(__file__).parents[1] / "contract" / "transcripts"
FILES = {"2.3": "2.3.21", "2.4": "2.4.23", "2.5": "2.5.15", "2.6": "2.6.20", "3.0": "3.0"}

_INPUTS = {
    method.name: method.input_type.name
    for method in milvus_pb2.DESCRIPTOR.services_by_name["MilvusService"].methods
}
_BY_CHANCE = ("identifier", "server_info", "created_timestamp", "db_ids", "dbID", "version", "properties")
"""What no two servers answer alike, and nobody asks them for here."""
Json = dict[str, Any]
UNRECORDED: Mapping[tuple[str, int], frozenset[str]] = {
    ("role-name-rules", 16): frozenset({" padded "}),
    ("role-name-rules", 21): frozenset(),
    ("backup-restore", 22): frozenset(),
}
"""By case and step: before it, everything was tidied away without being recorded, except these names."""


@dataclass(frozen=True)
class Case:
    """One story, step by step."""

    name: str
    config: str
    steps: tuple[Json, ...]


@cache
def cases(version: str) -> tuple[Case, ...]:
    """Read what was recorded of a version."""
    with gzip.open(FOLDER / f"milvus-{FILES[version]}.jsonl.gz", "rt") as lines:
        steps = [json.loads(line) for line in lines]
    return tuple(
        Case(name, config, tuple(grouped))
        for (name, config), grouped in groupby(steps, key=lambda step: (step["case"], step["config"]))
    )


@dataclass
class Player:
    """Plays cases against one address; it knows the passwords of those who call."""

    address: str
    timeout: float = 10.0
    passwords: dict[str, str] = field(default_factory=lambda: {"root": "Milvus"})
    hashes: dict[str, str] = field(default_factory=dict)
    before: Callable[[Json], None] = lambda _: None
    """Told of each step before it is played."""
    pause: float = 0.0
    """Seconds before each step of anybody but root: a real server before 2.6.6 tells its proxies of a change after the reply,
    and nothing shows when it has."""

    async def play(self, case: Case) -> Iterator[tuple[Json, Json, Json]]:
        """Play a case; give each step with what was recorded and what was answered, both ready to be compared."""
        async with grpc.aio.insecure_channel(self.address) as channel:
            stub = milvus_pb2_grpc.MilvusServiceStub(channel)
            played = []
            for step in case.steps:
                await self._make_up(stub, case.name, step["step"])
                self.before(step)
                if (step["caller"] or "root").partition(":")[0] != "root":
                    await asyncio.sleep(self.pause)
                answer = comparable(await self._answer(stub, step))
                played.append((step, comparable(step["response"]), answer))
        return iter(played)

    async def _make_up(self, stub: Any, case: str, step: int) -> None:
        """Do what was done before a step and not recorded: the recorder tidied up with calls of its own."""
        kept = UNRECORDED.get((case, step))
        if kept is None:
            return
        metadata = self._metadata({"caller": "root"})
        for user in (
            await stub.ListCredUsers(milvus_pb2.ListCredUsersRequest(), metadata=metadata)
        ).usernames:
            if user not in {"root", *kept}:
                request = milvus_pb2.DeleteCredentialRequest(username=user)
                await stub.DeleteCredential(request, metadata=metadata)
        roles = (await stub.SelectRole(milvus_pb2.SelectRoleRequest(), metadata=metadata)).results
        for role in (one.role.name for one in roles if one.role.name not in {"admin", "public", *kept}):
            request = milvus_pb2.DropRoleRequest(role_name=role, force_drop=True)
            await stub.DropRole(request, metadata=metadata)
        await self._drop_groups(stub, kept, metadata)

    async def _drop_groups(self, stub: Any, kept: frozenset[str], metadata: Any) -> None:
        try:
            listed = await stub.ListPrivilegeGroups(
                milvus_pb2.ListPrivilegeGroupsRequest(), metadata=metadata
            )
        except grpc.aio.AioRpcError:
            return  # a server without groups
        for group in (one.group_name for one in listed.privilege_groups):
            if group not in kept:
                request = milvus_pb2.DropPrivilegeGroupRequest(group_name=group)
                await stub.DropPrivilegeGroup(request, metadata=metadata)

    async def _answer(self, stub: Any, step: Json) -> Json:
        asked = _with_schema(step["request"])
        if step["method"] == "RestoreRBAC":
            self._put_hashes(asked)
        request = ParseDict(asked, getattr(milvus_pb2, _INPUTS[step["method"]])())
        call = getattr(stub, step["method"])
        try:
            reply = await call(request, metadata=self._metadata(step), timeout=self.timeout)
        except grpc.aio.AioRpcError as error:
            return {"grpc": error.code().name, "details": error.details()}
        answer = _read(reply)
        for user in answer["payload"].get("RBAC_meta", {}).get("users", ()):
            self.hashes[user["user"]] = user["password"]
        if answer["status"]["error_code"] == "Success":
            self._learn(step)
        return answer

    def _put_hashes(self, request: Json) -> None:
        """The recording has notes in place of hashes; those of the same user, or of anybody, are as good."""
        for user in request.get("RBAC_meta", {}).get("users", ()):
            if user["password"].startswith("<"):
                known = (
                    [self.hashes[user["user"]]] if user["user"] in self.hashes else list(self.hashes.values())
                )
                user["password"] = known[0] if known else ""

    def _metadata(self, step: Json) -> tuple[tuple[str, str], ...]:
        sent = tuple(step.get("metadata", {}).items())
        caller = step["caller"]
        if caller is None:
            return sent
        token = caller if ":" in caller else f"{caller}:{self.passwords.get(caller, '')}"
        return (("authorization", base64.b64encode(token.encode()).decode()), *sent)

    def _learn(self, step: Json) -> None:
        request = step["request"]
        password = {"CreateCredential": "password", "UpdateCredential": "newPassword"}.get(step["method"])
        if password and request.get(password):
            self.passwords[request["username"]] = base64.b64decode(request[password]).decode()


def comparable(response: Mapping[str, Any]) -> Json:
    """Leave out what says nothing, and order what has no order."""
    if response["grpc"] != "OK":
        lost = response["grpc"] == "UNAVAILABLE"
        return {"grpc": response["grpc"], "details": "" if lost else response.get("details", "")}
    status = dict(response.get("status") or {})
    for text in ("reason", "detail"):
        # Go lists a map in another order each time.
        status[text] = re.sub(
            r"types: \[([\w ]+)\]", lambda types: " ".join(sorted(types[1].split())), status[text]
        )
    status["extra_info"] = status.get("extra_info") or {}
    payload = {key: _ordered(key, value) for key, value in (response.get("payload") or {}).items()}
    kept = {
        key: value for key, value in payload.items() if key not in _BY_CHANCE and value not in ("", [], {})
    }
    return {"grpc": "OK", "status": status, "payload": kept}


def _ordered(key: str, value: Any) -> Any:
    """Lists of old servers come in no order; hashes are never the same twice."""
    if isinstance(value, dict):
        return {
            name: "<hash>" if name == "password" else ordered
            for name, one in value.items()
            if (ordered := _ordered(name, one)) not in ("", [], {})
        }
    if isinstance(value, list) and key != "details":
        return sorted((_ordered("", one) for one in value), key=lambda one: json.dumps(one, sort_keys=True))
    return value


def _read(reply: Any) -> Json:
    whole = MessageToDict(reply, preserving_proto_field_name=True)
    status = reply if reply.DESCRIPTOR.name == "Status" else reply.status
    payload = {} if status is reply else {key: value for key, value in whole.items() if key != "status"}
    return {
        "grpc": "OK",
        "status": {
            "error_code": status.DESCRIPTOR.fields_by_name["error_code"]
            .enum_type.values_by_number[status.error_code]
            .name,
            "code": status.code,
            "reason": status.reason,
            "detail": status.detail,
            "retriable": status.retriable,
            "extra_info": dict(status.extra_info),
        },
        "payload": payload,
    }


def _with_schema(request: Json) -> Json:
    """Put a real schema where the recording has words for one."""
    copy = deepcopy(request)
    if "schema" in copy:
        types = schema_pb2.DataType
        key = schema_pb2.FieldSchema(name="id", data_type=types.Int64, is_primary_key=True, fieldID=100)
        dimension = common_pb2.KeyValuePair(key="dim", value="4")
        vector = schema_pb2.FieldSchema(
            name="v", data_type=types.FloatVector, type_params=[dimension], fieldID=101
        )
        schema = schema_pb2.CollectionSchema(name=copy["collection_name"], fields=[key, vector])
        copy["schema"] = base64.b64encode(schema.SerializeToString()).decode()
    return copy
