"""What is true of a connection: its server, how many use it, and what deserves attention."""

from collections import Counter

import pytest

from milvus_rbac.controller.connection_status import (
    Crowd,
    cautions,
    connection_conditions,
    connection_status,
)
from milvus_rbac.domain.conditions import Reason
from milvus_rbac.milvus.port import Capabilities
from unit.resources import HERE, connection, entry

WELL = Capabilities("v2.6.20", authorization=True)


def test_the_last_server_is_kept_while_none_answers() -> None:
    server = {"endpoint": HERE, "version": "v2.6.20", "dialect": "V1"}
    counts = Counter({"MilvusUser": 2, "MilvusRole": 1})
    told = connection_status(entry(connection()), HERE, WELL, counts, {})
    assert told["server"] == server
    assert (told["userCount"], told["roleCount"], told["groupCount"], told["claimCount"]) == (2, 1, 0, 3)
    assert "inFlight" not in told
    silent = connection_status(entry(connection(status={"server": server})), HERE, None, counts, {})
    assert silent["server"] == server


@pytest.mark.parametrize(
    ("capabilities", "reason"),
    [
        (WELL, Reason.READY),
        (Capabilities("v2.6.20", authorization=False), Reason.AUTHORIZATION_OFF),
        (
            Capabilities("v2.6.20", authorization=True, missing_privileges=("CreateRole",)),
            Reason.MISSING_PRIVILEGES,
        ),
    ],
)
def test_a_server_that_cant_be_worked_with_is_not_ready(capabilities: Capabilities, reason: Reason) -> None:
    ready, *_ = connection_conditions(entry(connection()), capabilities, ())
    assert ready.reason == reason


@pytest.mark.parametrize(("users", "warned"), [(89, False), (90, True), (100, True), (101, False)])
def test_a_default_limit_is_warned_of_before_it_is_reached(users: int, warned: bool) -> None:
    found = [one["message"] for one in cautions(Crowd(users, 3))]
    assert any("proxy.maxUserNum" in message for message in found) is warned
