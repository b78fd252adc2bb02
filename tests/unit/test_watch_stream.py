"""What Kopf gets to read of a watch."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from milvus_rbac.kube.watch_stream import pass_on, read_version

MANAGED = [
    {"manager": "kubectl", "fieldsV1": {"f:metadata": {"f:resourceVersion": {}}, "f:spec": {"f:roles": {}}}}
]


def body(version: int, status: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.milvus.io/v1alpha1",
        "kind": "MilvusUser",
        "metadata": {"managedFields": MANAGED, "name": "ann", "resourceVersion": str(version), **metadata},
        "spec": {"userName": "ann"},
        "status": status or {"password": {"resourceVersion": "77"}},
    }


def event(type_: str, object_: dict[str, Any]) -> bytes:
    """A line as the API server writes it: keys in alphabetical order, but for the envelope's."""
    text = json.dumps(object_, sort_keys=True, separators=(",", ":"))
    return f'{{"type":"{type_}","object":{text}}}\n'.encode()


def error(code: int) -> bytes:
    return event("ERROR", {"kind": "Status", "code": code, "message": "etcd event received with PrevKv=nil"})


class Watching:
    """A stream that was passed on, and what became of it."""

    def __init__(self, *chunks: bytes, seen: set[str] | None = None) -> None:
        self.pauses = 0
        self.lines_seen = 0
        self.chunks = asyncio.run(self._read(chunks, seen))
        self.events = [json.loads(line) for line in b"".join(self.chunks).splitlines()]

    @property
    def told(self) -> list[tuple[str, Any]]:
        return [
            (one["type"], one["object"].get("code") or one["object"]["metadata"]["resourceVersion"])
            for one in self.events
        ]

    async def _read(self, chunks: tuple[bytes, ...], seen: set[str] | None) -> list[bytes]:
        async def arrive() -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

        async def pause() -> None:
            self.pauses += 1

        def on_line() -> None:
            self.lines_seen += 1

        known = None if seen is None else seen.__contains__
        return [chunk async for chunk in pass_on(arrive(), known, on_line, pause)]


def test_events_are_passed_on_as_they_are() -> None:
    lines = event("ADDED", body(1)) + event("BOOKMARK", {"metadata": {"resourceVersion": "9"}})
    assert b"".join(Watching(lines).chunks) == lines
    assert b"".join(Watching(lines, seen=set()).chunks) == lines


@pytest.mark.parametrize("size", [1, 7, 100])
def test_lines_may_arrive_in_pieces_of_any_size(size: int) -> None:
    lines = event("ADDED", body(1)) + event("MODIFIED", body(2)) + event("MODIFIED", body(3))
    pieces = [lines[start : start + size] for start in range(0, len(lines), size)]
    assert Watching(*pieces, seen={"2"}).told == [("ADDED", "1"), ("BOOKMARK", "2"), ("MODIFIED", "3")]


def test_of_echoes_only_the_place_is_kept_from_which_the_watch_is_resumed() -> None:
    lines = b"".join(event("MODIFIED", body(version)) for version in range(1, 6))
    assert Watching(lines, seen={"1", "2", "4", "5"}).told == [("MODIFIED", "3"), ("BOOKMARK", "5")]


def test_a_deletion_is_news_even_with_a_version_that_is_known() -> None:
    assert Watching(event("DELETED", body(1)), seen={"1"}).told == [("DELETED", "1")]


def test_what_was_broken_off_is_left_out() -> None:
    assert Watching(event("ADDED", body(1)) + b'{"type":"MODI').told == [("ADDED", "1")]


@pytest.mark.parametrize(
    "line", [error(500), error(504), b"upstream connect error\n", b'{"kind":"Status","code":500}\n', b"[]\n"]
)
def test_an_error_has_everything_listed_anew_after_a_pause(line: bytes) -> None:
    watching = Watching(event("ADDED", body(1)) + line + event("ADDED", body(2)))
    assert watching.told == [("ADDED", "1"), ("ERROR", 410)]
    assert watching.pauses == 1


def test_a_version_that_is_too_old_has_everything_listed_anew_at_once() -> None:
    watching = Watching(error(410))
    assert watching.told == [("ERROR", 410)]
    assert watching.pauses == 0


def test_an_event_in_another_order_is_an_event_all_the_same() -> None:
    line = json.dumps({"object": body(1), "type": "ADDED"}).encode() + b"\n"
    assert Watching(line).told == [("ADDED", "1")]


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"annotations": {"resourceVersion": "1"}},
        {"labels": {"resourceVersion": "1", "uid": "x"}},
        {"annotations": {"note": '"resourceVersion":"1"', "spec": "{"}},
        {"annotations": {"last": json.dumps(body(1))}},
        {"finalizers": ["spec", "resourceVersion"]},
        {"name": "resourceVersion"},
        {"annotations": {"spec": "x", "resourceVersion": "1"}},
    ],
)
def test_the_version_is_that_of_the_object_whatever_its_labels_are_called(metadata: dict[str, Any]) -> None:
    assert read_version(event("MODIFIED", body(5, **metadata)).rstrip()) == "5"


def test_an_object_without_spec_or_with_another_layout_is_parsed() -> None:
    secret = {"metadata": {"name": "a", "resourceVersion": "5"}}
    assert read_version(event("ADDED", secret)) == "5"
    assert read_version(json.dumps({"type": "ADDED", "object": body(5)}).encode()) == "5"
    assert read_version(b'{"type":"ADDED","object":{}}') is None
    assert read_version(b'{"type":"ADDED') is None
