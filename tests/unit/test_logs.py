"""Logs: one format, and libraries that stay quiet."""

import asyncio
import io
import json
import logging
import warnings
from collections.abc import Iterator

import pytest

from milvus_rbac.logs import AUDIT, CEILINGS, about, set_up_logs


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """The process's own logging is as before, afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in CEILINGS}
    with warnings.catch_warnings():
        yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def test_json_is_one_object_a_line_with_what_was_added_and_nothing_of_kopfs_insides() -> None:
    stream = io.StringIO()
    set_up_logs("INFO", "json", stream)
    extra = {"connection": "milvus/prod", "settings": object(), "k8s_ref": {"name": "a"}, "k8s_skip": True}
    logging.getLogger("milvus_rbac.controller").info("Größe %d", 3, extra=extra)
    line = json.loads(stream.getvalue())
    assert line.pop("time")
    assert line == {
        "level": "INFO",
        "logger": "milvus_rbac.controller",
        "message": "Größe 3",
        "connection": "milvus/prod",
    }


def test_what_a_task_is_about_is_in_its_lines_and_in_no_others() -> None:
    stream = io.StringIO()
    set_up_logs("INFO", "json", stream)

    async def work(connection: str) -> None:
        about(connection=connection)
        await asyncio.sleep(0)
        logging.getLogger("x").info(connection)

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(work("a/one"))
            group.create_task(work("b/two"))
        logging.getLogger("x").info("nobody")

    asyncio.run(both())
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(one["message"], one.get("connection")) for one in told] == [
        ("a/one", "a/one"),
        ("b/two", "b/two"),
        ("nobody", None),
    ]


def test_changes_in_milvus_are_written_whatever_level_is_set() -> None:
    stream = io.StringIO()
    set_up_logs("ERROR", "json", stream)
    logging.getLogger(AUDIT).info("create role reader: done")
    assert "create role reader" in stream.getvalue()


def test_a_traceback_stays_within_its_line() -> None:
    stream = io.StringIO()
    set_up_logs("INFO", "json", stream)
    try:
        raise ValueError("no")  # noqa: TRY301 -- a traceback is wanted
    except ValueError:
        logging.getLogger("x").exception("It broke.")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: no" in json.loads(line)["exc_info"]


def test_text_is_readable() -> None:
    stream = io.StringIO()
    set_up_logs("DEBUG", "text", stream)
    logging.getLogger("milvus_rbac").debug("hello")
    assert stream.getvalue().endswith("DEBUG   milvus_rbac: hello\n")


def test_libraries_stay_quiet_even_when_we_are_not() -> None:
    stream = io.StringIO()
    set_up_logs("DEBUG", "json", stream)
    for name in (
        "kopf.objects",
        "kopf._cogs.clients.api",
        "pymilvus.client",
        "grpc",
        "aiohttp.client",
        "kubernetes.aio",
    ):
        logging.getLogger(name).debug("a body")
    logging.getLogger("kopf.objects").info("Handler succeeded.")
    assert stream.getvalue() == ""


def test_libraries_follow_when_less_is_wanted() -> None:
    stream = io.StringIO()
    set_up_logs("ERROR", "json", stream)
    logging.getLogger("kopf").warning("Not enough permissions.")
    assert stream.getvalue() == ""


def test_setting_up_twice_logs_once() -> None:
    stream = io.StringIO()
    set_up_logs("INFO", "text", stream)
    set_up_logs("INFO", "text", stream)
    logging.getLogger("x").warning("once")
    assert stream.getvalue().count("once") == 1
