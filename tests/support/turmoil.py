"""A small world in which anything may happen to users, roles and groups, and what must be true of it when the dust settles.

What is expected is worked out here from the specs alone, in Milvus' own words: nothing of the operator is asked.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from support.double.faults import Trouble
from support.double.server import Double
from support.double.store import Account, Kept
from support.double.thread import DoubleThread
from support.story import CONNECTION, PLURALS, Story

SETTLE = 90.0
"""Seconds until everything must be as asked for: other tests run on the same two cores."""
ANY = "*"
ROOT, ADMIN, PUBLIC = "root", "admin", "public"
KINDS = {"MilvusUser": "users", "MilvusRole": "roles", "MilvusPrivilegeGroup": "groups"}

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Right:
    """A row of grants, and the grants that it means."""

    row: Row
    grants: frozenset[Kept]
    companions: frozenset[Kept] = frozenset()
    """What the server gives along with them."""
    group: str = ""
    """The privilege group without which there is nothing to grant."""


def collection(privilege: str, database: str = "db", name: str = ANY) -> Kept:
    """A grant on collections."""
    return Kept("Collection", database, name, privilege)


def of_group(group: str) -> Right:
    """A row that grants a privilege group."""
    kept = Kept("Global", "db", ANY, group)
    row = {"privileges": [group], "database": "db", "collections": ["*"]}
    return Right(row, frozenset({kept}), group=group)


SINGLE = {
    "search": Right(
        {"privileges": ["Search"], "database": "db", "collections": ["*"]}, frozenset({collection("Search")})
    ),
    "query": Right(
        {"privileges": ["Query"], "database": "db", "collections": ["*"]}, frozenset({collection("Query")})
    ),
    "load": Right(
        {"privileges": ["Load"], "database": "db", "collections": ["*"]},
        frozenset({collection("Load")}),
        frozenset({collection("GetLoadState"), collection("GetLoadingProgress")}),
    ),
    "state": Right(
        {"privileges": ["GetLoadState"], "database": "db", "collections": ["*"]},
        frozenset({collection("GetLoadState")}),
    ),
    "insert": Right(
        {"privileges": ["Insert", "Upsert"], "database": "db", "collections": ["c", "d"]},
        frozenset(collection(one, "db", name) for one in ("Insert", "Upsert") for name in ("c", "d")),
    ),
    "list": Right({"privileges": ["ListDatabases"]}, frozenset({Kept("Global", ANY, ANY, "ListDatabases")})),
}
GROUPED = {
    "read": Right(
        {"privileges": ["CollectionReadOnly"], "database": "db", "collections": ["*"]},
        frozenset({Kept("Global", "db", ANY, "CollectionReadOnly")}),
    ),
    "g1": of_group("g1"),
    "g2": of_group("g2"),
}
RIGHTS = SINGLE | GROUPED


@dataclass(slots=True)
class World:
    """One namespace and one Milvus. What is wanted is kept by the name in Milvus, which is the resource's too."""

    story: Story
    double: DoubleThread
    has_groups: bool
    users: dict[str, frozenset[str]] = field(default_factory=dict)
    roles: dict[str, frozenset[str]] = field(default_factory=dict)
    """Role to the names of its RIGHTS."""
    groups: dict[str, frozenset[str]] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    suspended: set[tuple[str, str]] = field(default_factory=set)
    told: list[str] = field(default_factory=list)
    """What happened, for whoever reads of a failure."""
    failure: str = ""
    """What was wrong once: whoever tells the same again need not wait for it."""

    # --- what people do

    def put_user(self, name: str, roles: frozenset[str]) -> None:
        self._note(f"user {name} with {sorted(roles)}")
        if name not in self.passwords:
            self.rotate(name)
        self.users[name] = roles
        self.story.user(
            name, name, *sorted(roles), adoption="Always", suspend=self._paused("MilvusUser", name)
        )

    def put_role(self, name: str, rights: frozenset[str]) -> None:
        self._note(f"role {name} with {sorted(rights)}")
        self.roles[name] = rights
        rows = [dict(RIGHTS[right].row) for right in sorted(rights)]
        self.story.role(name, name, *rows, adoption="Always", suspend=self._paused("MilvusRole", name))

    def put_group(self, name: str, privileges: frozenset[str]) -> None:
        self._note(f"group {name} with {sorted(privileges)}")
        self.groups[name] = privileges
        paused = self._paused("MilvusPrivilegeGroup", name)
        self.story.group(name, name, *sorted(privileges), adoption="Always", suspend=paused)

    def rotate(self, name: str) -> None:
        password = f"secret-{name}-{len(self.told)}"
        self._note(f"password of {name}: {password}")
        self.passwords[name] = password
        self.story.password(name, password)

    def pause(self, kind: str, name: str) -> None:
        if name in self._wanted(kind):
            self._note(f"pause {kind} {name}")
            self.suspended.add((kind, name))
            self.story.patch(kind, name, {"spec": {"suspend": True}})

    def remove(self, kind: str, name: str) -> None:
        """Delete a resource, unless it would wait for a role that keeps its group, or go without a trace while paused."""
        held = any(RIGHTS[right].group == name for rights in self.roles.values() for right in rights)
        if name not in self._wanted(kind) or (kind, name) in self.suspended:
            return
        if kind == "MilvusPrivilegeGroup" and held:
            return
        self._note(f"delete {kind} {name}")
        del self._wanted(kind)[name]
        self.story.delete(kind, name)
        # A namesake can only be made once this one is gone, and that needs an operator that is well.
        self.calm()
        self.story.wait_gone(kind, name, timeout=SETTLE)

    # --- what others do to Milvus

    def by_hand(self, what: str, name: str) -> None:
        """Change something of ours as another administrator would."""
        self._note(f"by hand: {what} {name}")
        self.double.ask(lambda one: BY_HAND[what](one, name))

    # --- what breaks

    def trouble(self, trouble: Trouble, times: int) -> None:
        self._note(f"{times} times {trouble.name}")
        self.double.ask(lambda one: one.faults.add(trouble, times=times))

    def crash(self, at_write: int, *, after: bool) -> None:
        """End the operator at a write from now on, or with 0 at once; it is started again when the dust settles."""
        self._note(f"crash at write {at_write}, {'after' if after else 'before'} it is made")
        if at_write == 0:
            self.story.operator.kill()
        else:
            self.story.milvus.at_write(at_write, self.story.operator.kill, after=after)

    def calm(self) -> None:
        """End all trouble; the operator runs."""
        self.double.ask(lambda one: one.faults.coming.clear())
        self.story.milvus.hook = self.story.milvus.on_reply = None
        if not self.story.operator.process.alive:
            self.story.start_operator()

    # --- when the dust settles

    def settle(self) -> None:
        """Let everything come to rest, and compare."""
        assert not self.failure, self.failure
        self.calm()
        for kind, name in sorted(self.suspended):
            if name in self._wanted(kind):
                self.story.patch(kind, name, {"spec": {"suspend": False}})
        self.suspended.clear()
        self.story.reconcile("MilvusConnection", CONNECTION)
        deadline = time.monotonic() + SETTLE
        while complaints := self._complaints():
            if time.monotonic() > deadline:
                happened, wrong = "\n".join(self.told), "\n".join(complaints)
                self.failure = f"{wrong}\nwhat happened:\n{happened}\n{self.story.operator.trace()}"
                raise AssertionError(self.failure)
            time.sleep(0.2)

    def clear(self) -> None:
        """Delete everything; Milvus is then as it was."""
        for kind, wanted in (
            ("MilvusUser", self.users),
            ("MilvusRole", self.roles),
            ("MilvusPrivilegeGroup", self.groups),
        ):
            for name in list(wanted):
                self.story.delete(kind, name)
            for name in list(wanted):
                self.story.wait_gone(kind, name, timeout=SETTLE)
            wanted.clear()
        self.passwords.clear()
        self.settle()
        self.told.clear()

    def _complaints(self) -> list[str]:
        now: Now = self.double.ask(look)
        bodies = {
            (kind, body["metadata"]["name"]): body
            for kind in KINDS
            for body in self.story.resources(PLURALS[kind])
        }
        return [
            *_strangers(now),
            *self._about_users(now, bodies),
            *self._about_roles(now, bodies),
            *self._about_groups(now, bodies),
        ]

    def _about_users(self, now: "Now", bodies: "Bodies") -> list[str]:
        found = _unwanted("user", now.users.keys() - {ROOT, "stranger"}, self.users)
        for name, roles in self.users.items():
            account, there = now.users.get(name), roles & now.roles.keys()
            if account is None:
                found.append(f"user {name} is not there")
                continue
            if account.roles != there:
                found.append(f"user {name} has {account.roles}, not {there}")
            if account.password != self.passwords[name]:
                found.append(f"user {name} has the password {account.password}, not {self.passwords[name]}")
            status = {"roles": sorted(there), "roleCount": len(there)}
            missing = "WaitingForRole" if roles - there else ""
            found += _about_status("MilvusUser", name, bodies, status, missing)
            found += _about_condition("MilvusUser", name, bodies, "PasswordSynced", "True")
        return found

    def _about_roles(self, now: "Now", bodies: "Bodies") -> list[str]:
        found = _unwanted("role", now.roles.keys() - {ADMIN, PUBLIC, "foreign"}, self.roles)
        for name, rights in self.roles.items():
            held = now.roles.get(name)
            if held is None:
                found.append(f"role {name} is not there")
                continue
            given = {
                right for right in rights if not RIGHTS[right].group or now.groups.get(RIGHTS[right].group)
            }
            wanted = frozenset().union(*(RIGHTS[right].grants for right in given))
            along = frozenset().union(*(RIGHTS[right].companions for right in given))
            if not wanted <= held <= wanted | along:
                found.append(f"role {name} has {sorted(held)}, not {sorted(wanted)}")
            if now.at_proxies[name] != now.meant[name]:
                found.append(f"the proxies give role {name} {now.at_proxies[name]}, not {now.meant[name]}")
            missing = "WaitingForPrivilegeGroup UnknownPrivilege" if rights - given else ""
            found += _about_status("MilvusRole", name, bodies, {"grantCount": len(held)}, missing)
        return found

    def _about_groups(self, now: "Now", bodies: "Bodies") -> list[str]:
        found = _unwanted("group", now.groups.keys() - {"others"}, self.groups)
        for name, privileges in self.groups.items():
            if now.groups.get(name) != privileges:
                found.append(f"group {name} has {now.groups.get(name)}, not {privileges}")
            status = {"privileges": sorted(privileges), "pendingRevokes": None}
            found += _about_status("MilvusPrivilegeGroup", name, bodies, status, "")
        return found

    def _wanted(self, kind: str) -> dict[str, frozenset[str]]:
        wanted: dict[str, frozenset[str]] = getattr(self, KINDS[kind])
        return wanted

    def _paused(self, kind: str, name: str) -> bool:
        return (kind, name) in self.suspended

    def _note(self, what: str) -> None:
        self.told.append(what)


Bodies = Mapping[tuple[str, str], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Now:
    """What a Milvus holds."""

    users: Mapping[str, Account]
    roles: Mapping[str, frozenset[Kept]]
    groups: Mapping[str, frozenset[str]]
    at_proxies: Mapping[str, frozenset[Any]]
    """What the proxies remember of each role."""
    meant: Mapping[str, frozenset[Any]]
    """What they would remember of it after a restart."""


def look(one: Double) -> Now:
    """Copy what a double holds."""
    store, proxies = one.core.store, one.core.proxies
    return Now(
        {name: Account(held.password, roles=set(held.roles)) for name, held in store.users.items()},
        {role: frozenset(store.held(role)) for role in store.roles},
        {group: frozenset(held) for group, held in store.groups.items()},
        {role: frozenset(proxies.policies_of(role)) for role in store.roles},
        {
            role: frozenset(policy for kept in store.held(role) for policy in proxies.expand(role, kept))
            for role in store.roles
        },
    )


def invite_strangers(one: Double) -> None:
    """Put users, roles and groups there that no resource ever asks for."""
    store = one.core.store
    store.databases["db"] = {}
    store.roles["foreign"] = ""
    store.give("foreign", collection("Delete"), ROOT)
    store.users["stranger"] = Account("stranger-password", roles={"foreign"})
    if one.core.dress.privileges >= (2, 4):
        store.groups["others"] = ["Query"]
    one.core.proxies.reload()


def _strangers(now: Now) -> list[str]:
    stranger = now.users.get("stranger")
    kept = stranger is not None and (stranger.password, stranger.roles) == ("stranger-password", {"foreign"})
    held = now.roles.get("foreign") == frozenset({collection("Delete")})
    others = now.groups.get("others", {"Query"}) == {"Query"}
    return [] if kept and held and others else ["what nobody asked for was touched"]


def _unwanted(what: str, there: "set[str]", wanted: Mapping[str, Any]) -> list[str]:
    return [f"{what} {name} is there, and nobody asks for it" for name in sorted(there - wanted.keys())]


def _about_status(kind: str, name: str, bodies: Bodies, wanted: Mapping[str, Any], missing: str) -> list[str]:
    """Compare what a resource says with what is true of it; `missing` are the reasons that tell what it waits for."""
    body = bodies.get((kind, name))
    if body is None:
        return [f"{kind} {name} is gone"]
    status = body.get("status", {})
    found = [
        f"{kind} {name} says {key} {status.get(key)}, not {value}"
        for key, value in wanted.items()
        if status.get(key) != value
    ]
    if status.get("observedGeneration") != body["metadata"]["generation"]:
        found.append(f"{kind} {name} was not looked at")
    if (status.get("claim") or {}).get("name") != name:
        found.append(f"{kind} {name} does not say what it owns")
    ready = _condition(body, "Ready")
    is_right = ready.get("reason") in missing.split() if missing else ready.get("status") == "True"
    return found if is_right else [*found, f"{kind} {name} is {ready}"]


def _about_condition(kind: str, name: str, bodies: Bodies, type_: str, status: str) -> list[str]:
    condition = _condition(bodies.get((kind, name), {}), type_)
    return [] if condition.get("status") == status else [f"{kind} {name}: {type_} is {condition}"]


def _condition(body: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    conditions = body.get("status", {}).get("conditions", ())
    return next((one for one in conditions if one["type"] == type_), {})


# --- by hand


def _grant(one: Double, role: str) -> None:
    if role in one.core.store.roles:
        one.core.store.give(role, collection("Delete"), ROOT)
        one.core.proxies.granted(role, collection("Delete"))


def _revoke(one: Double, role: str) -> None:
    for kept in list(one.core.store.held(role)):
        one.core.store.take(role, kept)
        one.core.proxies.revoked(role, kept)


def _bind(one: Double, user: str) -> None:
    if user in one.core.store.users:
        one.core.store.users[user].roles.add("foreign")
        one.core.proxies.bindings_changed(user)


def _unbind(one: Double, user: str) -> None:
    if user in one.core.store.users:
        one.core.store.users[user].roles.clear()
        one.core.proxies.bindings_changed(user)


def _drop_user(one: Double, user: str) -> None:
    one.core.store.users.pop(user, None)
    one.core.proxies.bindings_changed(user)


def _drop_role(one: Double, role: str) -> None:
    with suppress(KeyError):
        one.core.store.drop_role(role)
        one.core.proxies.role_dropped(role)


def _change_password(one: Double, user: str) -> None:
    if user in one.core.store.users:
        one.core.store.users[user].password = "by-hand"  # noqa: S105 - a test's
        one.core.store.users[user].hash = ""


def _grow(one: Double, group: str) -> None:
    held = one.core.store.groups.get(group)
    if held is not None and "Delete" not in held:
        held.append("Delete")
        one.core.proxies.grown(group, ["Delete"])


BY_HAND: Mapping[str, Callable[[Double, str], None]] = {
    "grant": _grant,
    "revoke": _revoke,
    "bind": _bind,
    "unbind": _unbind,
    "drop user": _drop_user,
    "drop role": _drop_role,
    "change password": _change_password,
    "grow": _grow,
}
