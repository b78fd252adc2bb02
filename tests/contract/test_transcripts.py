"""The double does what real servers of five versions did, call by call; what differs is listed, each with its reason."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from support.double import Double, ServerSettings
from support.double.calls import CALLS
from support.transcripts import Case, Json, Player, cases
from testbed.milvus import DEFAULT_LIMITS, MilvusServer, Profile

CONFIGS: dict[str, dict[str, Any]] = {
    "default": {},
    "tuned": {
        "super_users": frozenset({"root", "svc_super"}),
        "min_password_length": 8,
        "max_password_length": 20,
        "max_username_length": 16,
        "max_user_num": 8,
        "max_role_num": 6,
        "role_name_allowed_chars": "$-",
    },
    "rootbind": {"root_should_bind_role": True},
    "rootShouldBindRole, root in admin": {"root_should_bind_role": True},
    "noauth": {"authorization_enabled": False},
}

OVERTAKEN = (
    "Before 2.6.6 proxies are told of each change after its caller, and one may overtake another: the recorded server gave what "
    "was revoked, or refused what was granted, for the rest of the case."
)
DIRTY = "The recorded server still had the role g1 and its grants from the case before."

DIFFERENT: dict[tuple[str, str], tuple[str, frozenset[int]]] = {
    ("2.5", "rbac-permissions"): (
        OVERTAKEN,
        frozenset({27, 126, 127, 158, 159, *range(170, 186), 209, 213}),
    ),
    ("2.4", "rbac-permissions"): (
        OVERTAKEN,
        frozenset({39, 48, 125, 126, 127, 157, 158, 188, 189, 190}),
    ),
    ("2.4", "group-shrink-stale"): (OVERTAKEN, frozenset({22})),
    ("2.3", "privilege-groups"): (DIRTY, frozenset({57, 76, 79})),
}
"""By version and case: why, and which steps."""


@dataclass
class Lateness:
    """Lets the double's proxies learn of a change as late as the recorded ones did: both sides of that race are right.

    When a user calls after a change, the reply shows whether the proxies knew of it.
    """

    double: Double
    late: int = field(default=0)

    def __call__(self, step: Json) -> None:
        proxies, call = self.double.core.proxies, CALLS.get(step["method"])
        user = (step["caller"] or "root").partition(":")[0]
        if user == "root" or call is None or call.privilege is None:
            proxies.catch_up()
            return
        request, header = step["request"], step.get("metadata", {}).get("dbname", "")
        database = proxies.judged_in(call.privilege, header, request.get("db_name", ""))
        name = request.get("collection_name", "*") if call.takes else "*"
        was_denied = step["response"]["grpc"] == "PERMISSION_DENIED"
        while proxies.untold and proxies.allows(user, call.privilege, database, name) == was_denied:
            proxies.catch_up(1)
        self.late += bool(proxies.untold)


def every_case() -> Iterator[Any]:
    for version in ("2.3", "2.4", "2.5", "2.6", "3.0"):
        for case in cases(version):
            yield pytest.param(version, case, id=f"{version}-{case.name}")


@pytest.mark.parametrize(("version", "case"), list(every_case()))
async def test_every_recorded_reply_is_the_doubles_but_for_what_is_listed(
    version: str, case: Case, record_property: Any
) -> None:
    settings = ServerSettings(bcrypt_cost=4, proxy_delay=None, **CONFIGS[case.config])
    async with Double(version, settings) as double:
        if case.config.endswith("root in admin"):
            double.core.store.users["root"].roles.add("admin")
            double.core.proxies.reload()
        lateness = Lateness(double)
        played = await Player(f"127.0.0.1:{double.port}", before=lateness).play(case)
    _, listed = DIFFERENT.get((version, case.name), ("", frozenset()))
    different = {
        step["step"]: (recorded, answered) for step, recorded, answered in played if recorded != answered
    }
    assert {number: pair for number, pair in different.items() if number not in listed} == {}
    assert listed - different.keys() == frozenset(), "listed as different, and equal by now"
    record_property("transcript", f"{version} {len(case.steps)} {len(different)} {lateness.late}")


DIFFERENT_ON_2_3_5: dict[str, tuple[str, frozenset[int]]] = {
    "user-name-rules": (
        "2.3.5 prints the first character of a bad user name as a number, 2.3.21 as a character.",
        frozenset({3, 4, 5, 15, 28, 30}),
    ),
    "privilege-groups": (DIRTY, frozenset({57, 76, 79})),
    "describe-role-db": (
        "The recorder emptied the database, without a record, before it dropped it.",
        frozenset({33}),
    ),
}
PROFILES = {
    "default": DEFAULT_LIMITS,
    "rootbind": DEFAULT_LIMITS,
    "noauth": Profile("no-authorization-default-limits", authorization=False),
    "tuned": Profile(
        "tuned",
        environment={
            "COMMON_SECURITY_SUPERUSERS": "root,svc_super",
            "PROXY_MINPASSWORDLENGTH": "8",
            "PROXY_MAXPASSWORDLENGTH": "20",
            "PROXY_MAXUSERNAMELENGTH": "16",
            "PROXY_MAXUSERNUM": "8",
            "PROXY_MAXROLENUM": "6",
        },
    ),
}


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in cases("2.3")])
async def test_what_was_recorded_of_2_3_happens_on_a_real_one_but_for_what_is_listed(
    case: Case, fresh_milvus: Callable[[Profile], MilvusServer], record_property: Any
) -> None:
    # A server for each case: proxies of 2.3 may keep what a role had, even after it was dropped and made again.
    server = fresh_milvus(PROFILES[case.config])
    played = await Player(server.facts.address, pause=0.02).play(case)
    different = {step["step"]: pair for step, *pair in played if pair[0] != pair[1]}
    _, listed = DIFFERENT_ON_2_3_5.get(case.name, ("", frozenset()))
    assert {number: pair for number, pair in different.items() if number not in listed} == {}
    assert listed - different.keys() == frozenset(), "listed as different, and equal by now"
    record_property("transcript", f"2.3 on a real 2.3.5 {len(case.steps)} {len(different)} 0")
