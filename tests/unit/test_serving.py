"""Whether a connection is served at all: its own spec, the operator's settings, and who has the address already."""

import pytest

from milvus_rbac.controller.cache import Cache
from milvus_rbac.controller.serving import refuse_connection
from milvus_rbac.domain.conditions import Reason
from milvus_rbac.settings import Settings
from unit.resources import Json, connection

ANSWERED = {"server": {"endpoint": "milvus.ns:19530", "version": "v2.6.20", "dialect": "V2"}}


@pytest.mark.parametrize(
    ("one", "settings", "expected", "reason"),
    [
        (connection(), Settings(), None, "nothing is in the way"),
        (connection(spec={"suspend": True}), Settings(), Reason.SUSPENDED, "as written"),
        (connection(spec={"uri": 7}), Settings(), Reason.INVALID_SPEC, "it can't be read"),
        (connection(), Settings(connection_namespaces=("other",)), Reason.NOT_PERMITTED, "not from there"),
        (connection(), Settings(allowed_endpoints=("else:1",)), Reason.NOT_PERMITTED, "not to there"),
        (connection(), Settings(allowed_endpoints=("milvus.ns:*",)), None, "short names are completed"),
    ],
)
def test_what_the_spec_and_the_settings_say(
    one: Json, settings: Settings, expected: Reason | None, reason: str
) -> None:
    cache = Cache()
    refusal = refuse_connection(cache.put(one), cache, settings)
    assert (refusal.reason if refusal else None) is expected, reason


def test_a_second_connection_to_one_server_is_a_conflict_that_names_the_first_in_its_own_namespace() -> None:
    cache = Cache()
    cache.put(connection("old", ANSWERED))
    near = cache.put(connection("near", ANSWERED, uid="z-near"))
    far = cache.put(
        connection(
            "far", ANSWERED, uid="z-far", namespace="elsewhere", spec={"uri": "http://milvus.ns:19530"}
        )
    )
    refusals = [refuse_connection(one, cache, Settings()) for one in (near, far)]
    assert [one.reason for one in refusals if one] == [Reason.CONFLICT, Reason.CONFLICT]
    messages = [one.message for one in refusals if one]
    assert "MilvusConnection old" in messages[0]
    assert "another namespace" in messages[1]
