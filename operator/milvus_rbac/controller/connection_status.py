"""What is true of a MilvusConnection, as its status. Pure: writes nothing."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from milvus_rbac.controller.entry import Entry, Intents
from milvus_rbac.domain.claims import Kind
from milvus_rbac.domain.conditions import Condition, Reason, Refusal, summarize_ready
from milvus_rbac.milvus.capabilities import weaknesses_of
from milvus_rbac.milvus.port import Capabilities

MOST_INTENTS = 1000
MOST_USERS, MOST_ROLES = 100, 10
"""What every Milvus takes unless it is told otherwise; root, admin and public are counted."""
NEARLY = 0.9

Caution = Mapping[str, str]
"""A warning of the status: its reason and its message."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many there are on a server."""

    users: int
    roles: int
    stuck: tuple[str, ...] = ()
    """What other namespaces hold without leave and Milvus does not let be taken, a sentence each."""


def connection_status(
    entry: Entry,
    endpoint: str,
    capabilities: Capabilities | None,
    counts: Counter[str],
    intents: Intents,
    others: Iterable[Caution] = (),
) -> dict[str, Any]:
    """Return the status without its conditions; what the last server said is kept while none answers.

    Args:
        entry: the MilvusConnection.
        endpoint: the identity of its server.
        capabilities: what the server can do, if it answers.
        counts: how many resources of each kind use the connection.
        intents: what is about to be created.
        others: warnings beside those about the server.
    """
    status: dict[str, Any] = {"observedGeneration": entry.generation}
    if intents:
        status["inFlight"] = list(intents.values())[:MOST_INTENTS]
    if capabilities is not None:
        status["server"] = {
            "endpoint": endpoint,
            "version": capabilities.version or "unknown",
            "dialect": capabilities.dialect,
        }
    elif "server" in entry.status:
        status["server"] = entry.status["server"]
    status |= {
        "userCount": counts[Kind.USER],
        "roleCount": counts[Kind.ROLE],
        "groupCount": counts[Kind.GROUP],
        "claimCount": counts.total(),
    }
    if warnings := [*(_warnings(capabilities) if capabilities is not None else ()), *others]:
        status["warnings"] = warnings
    return status


def _warnings(capabilities: Capabilities) -> Iterator[Caution]:
    if capabilities.root_password_is_default:
        yield ROOT_WARNING
    if capabilities.useful_privileges:
        names = ", ".join(capabilities.useful_privileges)
        message = (
            f"The operator's account lacks {names}: without those of privilege groups, it can't manage any; without BackupRBAC it "
            "needs more calls. Grant ClusterAdmin on *.* to one of its roles."
        )
        yield {"reason": Reason.MISSING_PRIVILEGES.value, "message": message}
    for weakness in weaknesses_of(capabilities.version):
        message = f"Milvus {capabilities.version}: {weakness.what} ({weakness.source}). Upgrade it; until then {weakness.meanwhile}."
        yield {"reason": Reason.KNOWN_WEAKNESS.value, "message": message}
    if capabilities.wildcard_breaks:
        message = (
            f"Milvus {capabilities.version} locks all users out at its next restart if anybody grants the privilege *"
            " (milvus#39365, #40547): the operator does not; upgrade Milvus."
        )
        yield {"reason": Reason.UNSUPPORTED_BY_SERVER.value, "message": message}


def cautions(crowd: Crowd) -> Iterator[Caution]:
    """Warn of what can't be taken from other namespaces, and before the limits that every Milvus starts with are reached.

    What those limits are set to, no call tells.
    """
    for sentence in crowd.stuck:
        yield {"reason": Reason.NOT_PERMITTED.value, "message": sentence}
    for what, count, limit, setting in (
        ("users", crowd.users, MOST_USERS, "proxy.maxUserNum"),
        ("roles", crowd.roles, MOST_ROLES, "proxy.maxRoleNum"),
    ):
        if limit * NEARLY <= count <= limit:
            message = f"Milvus has nearly as many {what} as it takes by itself ({limit}, its own counted): raise {setting} unless you have."
            yield {"reason": Reason.LIMIT_REACHED.value, "message": message}


LABELS_WARNING = {
    "reason": Reason.NOT_PERMITTED.value,
    "message": "spec.delegations selects namespaces by labels, which the operator may not read: let it list namespaces, or name "
    "them.",
}
ROOT_WARNING = {
    "reason": Reason.CREDENTIALS_REJECTED.value,
    "message": "root still has the password that every Milvus starts with: change it, or use a fresh server with "
    "spec.bootstrap: true and another password in the Secret.",
}


def connection_conditions(
    entry: Entry, capabilities: Capabilities | None, refusals: Iterable[Refusal]
) -> tuple[Condition, ...]:
    """Return the conditions of a connection: whether its server can be worked with."""
    found = [*refusals, *_server_refusals(capabilities)]
    version = capabilities.version if capabilities else ""
    return summarize_ready(found, f"Milvus {version} answers, and authorization is on.", entry.generation)


def _server_refusals(capabilities: Capabilities | None) -> Iterable[Refusal]:
    if capabilities is None:
        return
    if not capabilities.authorization:
        yield Refusal(
            Reason.AUTHORIZATION_OFF,
            "Authorization is off, so any password logs in and every call is allowed: set "
            "common.security.authorizationEnabled to true in milvus.yaml and restart Milvus.",
        )
    if (lacking := lacking_privileges(capabilities)) is not None:
        yield lacking


def lacking_privileges(capabilities: Capabilities) -> Refusal | None:
    """Return why the operator's account is not enough, with all privileges that it lacks; None when it is."""
    if not capabilities.missing_privileges:
        return None
    names = ", ".join(capabilities.missing_privileges)
    message = f"The operator's account lacks {names}: grant them to one of its roles on *.*, or give it the role admin."
    return Refusal(Reason.MISSING_PRIVILEGES, message)
