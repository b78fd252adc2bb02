"""Everything that an operator does in Kubernetes, once: what it may do is there for something of this, or for nothing."""

from collections.abc import Callable
from typing import Any

from support.story import CONNECTION, Story
from testbed.control_plane import events_of
from testbed.forwarder import Call

Request = tuple[str, str, str]
"""API group, resource and verb."""
ROTATED = "2026-11-25"
SEARCH = {"privileges": ["Search"], "collections": ["*"]}


class Tour:
    """Resources that make the operator of a story use each of its permissions, and what comes of them."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._mark = story.cluster.audit_mark()
        self._first_password = ""

    def begin(self) -> None:
        """Apply everything."""
        story, name = self._story, self._story.unique("tour")
        story.api.hook = self._come_between
        story.start_operator()
        selecting = [
            {"namespaces": {"selector": {"matchLabels": {"tour": "yes"}}}, "roleNames": [f"{name}_*"]}
        ]
        story.connection(delegations=selecting)
        spec = {"credentialsSecretRef": {"name": "milvus-admin"}}
        story.apply("MilvusConnection", "of-operator", {"milvusRef": {"name": "none"}, **spec})
        tls = {"caConfigMapRef": {"name": "none", "key": "ca.crt"}}
        story.apply("MilvusConnection", "with-ca", {"uri": "https://127.0.0.1:1", "tls": tls, **spec})
        story.role("reader", f"{name}_reader", SEARCH)
        story.role("wrong", f"{name}_wrong", {"privileges": ["Qwery"], "collections": ["*"]})
        story.group("group", f"{name}_group", "Search")
        generated = {"passwordSecretRef": None, "generatePassword": {"secretName": "generated"}}
        story.user("app", f"{name}_app", **generated, connectionSecret={"name": "bound"})

    def is_complete(self) -> bool:
        """Whether everything came of it that should; rotates and deletes on the way."""
        story = self._story
        reasons = (
            self._reason(kind, name)
            for kind, name in (("MilvusConnection", CONNECTION), ("MilvusUser", "app"))
        )
        bound = [story.read_secret(name) is not None for name in ("bound", "bound-anew")]
        if set(reasons) != {"Ready"} or not any(bound):
            return False
        password = (story.read_secret("generated") or {})["password"]
        if not self._first_password:
            self._first_password = password
            story.annotate("MilvusUser", "app", rotate=ROTATED)
            story.patch("MilvusUser", "app", {"spec": {"connectionSecret": {"name": "bound-anew"}}})
            story.delete("MilvusRole", "reader")
        warnings = (story.get("MilvusConnection", CONNECTION) or {})["status"].get("warnings", ())
        told = [self._message("MilvusConnection", name) for name in ("of-operator", "with-ca")]
        return (
            password != self._first_password
            and bound == [False, True]
            and story.get("MilvusRole", "reader") is None
            and self._reason("MilvusPrivilegeGroup", "group") == "UnsupportedByServer"
            and bool(story.events("wrong"))
            and all("is not there" in message for message in told)
            and not any("labels" in one["message"] for one in warnings)
        )

    def requests(self, *, allowed: bool) -> set[Request]:
        """What the operator asked for."""
        release = self._story.release
        assert release is not None
        account = f"system:serviceaccount:{release.namespace}:{release.account}"
        cluster = self._story.cluster
        answered = cluster.audit_events(self._mark) + cluster.audit_events(self._mark, "ResponseStarted")
        asked = events_of(answered, account)
        return {_what(event) for event in asked if "objectRef" in event and _is_allowed(event) == allowed}

    def _come_between(self, call: Call) -> None:
        """Change a resource right before the operator writes it: it has to look at it again."""
        if call.path.endswith("milvususers/app") and call.method == "PATCH":
            self._story.annotate("MilvusUser", "app", changed_by="somebody")

    def _reason(self, kind: str, name: str) -> str:
        return str((self._story.condition(kind, name) or {}).get("reason"))

    def _message(self, kind: str, name: str) -> str:
        return str((self._story.condition(kind, name) or {}).get("message"))


def permissions(rule: dict[str, Any]) -> set[Request]:
    """What a rule allows."""
    (group,) = rule["apiGroups"]
    return {(group, resource, verb) for resource in rule["resources"] for verb in rule["verbs"]}


def idle(rules: list[dict[str, Any]], used: set[Request]) -> list[str]:
    """The resources and verbs of rules that were not once made use of."""
    found = []
    for rule in rules:
        mine = permissions(rule) & used
        left = {*rule["resources"]} - {resource for _, resource, _ in mine}
        left |= {
            f"{verb} {rule['resources'][0]}" for verb in {*rule["verbs"]} - {verb for _, _, verb in mine}
        }
        found += sorted(left)
    return found


def wait_for(story: Story, tour: Tour, holds: Callable[[], bool], what: str) -> None:
    """Wait, and show what was refused if it never comes."""
    story.wait(holds, what, see=lambda: f"refused: {tour.requests(allowed=False)}")


def _is_allowed(event: dict[str, Any]) -> bool:
    return bool(event.get("annotations", {}).get("authorization.k8s.io/decision") == "allow")


def _what(event: dict[str, Any]) -> Request:
    about = event["objectRef"]
    resource = "/".join(filter(None, (about["resource"], about.get("subresource"))))
    return about.get("apiGroup", ""), resource, event["verb"]
