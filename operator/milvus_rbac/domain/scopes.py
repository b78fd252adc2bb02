"""Where a privilege can be granted, and which grants a row of spec.grants means.

Milvus checks scopes for groups only. Here the same rules hold for single privileges: Milvus would accept them anywhere and
then not enforce them (a cluster privilege on a database does nothing on 3.0).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from milvus_rbac.domain import privileges
from milvus_rbac.domain.claims import GrantRow
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.privileges import Level, Privilege
from milvus_rbac.domain.state import ANY, DEFAULT_DATABASE, Grant, Place


@dataclass(frozen=True, slots=True)
class KnownPrivileges:
    """The privileges and privilege groups that a server accepts in a grant, and what they mean there."""

    privilege_groups: bool = False
    """Whether the server has OperatePrivilegeV2 and privilege groups; without, it takes only what V1 does."""
    levels: Mapping[str, Level] = field(default_factory=dict)
    """The level of each privilege according to the server's own groups; empty if the operator could not read them."""
    wildcard_breaks: bool = False
    """Whether a grant of `*` locks all users out once the proxies restart (milvus#39365, #40547)."""
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Privilege groups with the privileges that they hold or, if this turn fills them, will hold."""
    claimed: frozenset[str] = frozenset()
    """Privilege groups that a resource asks for, whether they exist or not."""
    aliases: Mapping[Place, str | None] = field(default_factory=dict)
    """The collection behind each alias; None where the operator's account may not look it up."""
    meant_groups: Mapping[str, str] = field(default_factory=dict)
    """By the name of a MilvusPrivilegeGroup: the group that it has in Milvus."""
    groups_unreadable: bool = False
    """Whether the server has groups and does not show them to the operator's account."""

    def level_of(self, name: str) -> Level | None:
        """Return the level of a privilege or group; None if it has none, or is a group that mixes levels."""
        row = privileges.find(name)
        if row is None and name in self.groups:
            levels = {self.level_of(member) for member in self.groups[name]}
            return levels.pop() if len(levels) == 1 else None
        if name in self.levels:
            return self.levels[name]
        return row.level if row else None


def check_member(name: str, known_privileges: KnownPrivileges) -> Refusal | None:
    """Return why a privilege can't be in a custom group."""
    where, row = "spec.privileges", privileges.find(name)
    if row is not None and (row.group or row.everything):
        advice = (
            f"{name} stands for other privileges, and a group takes only single ones: name them one by one"
        )
        return Refusal(Reason.INVALID_SCOPE, f"{where}: {advice}.")
    if row is None and name in known_privileges.groups.keys() | known_privileges.claimed:
        advice = (
            f"{name} is a privilege group, and a group takes only single privileges: name those that it holds"
        )
        return Refusal(Reason.INVALID_SCOPE, f"{where}: {advice}.")
    if row is None and name not in known_privileges.levels:
        return _unknown(name, where, known_privileges)
    if known_privileges.levels and name not in known_privileges.levels:
        return Refusal(
            Reason.UNSUPPORTED_BY_SERVER,
            f"{where}: this Milvus does not take {name} in a group; grant it by itself, or take it out.",
        )
    return None


def check(name: str, row: GrantRow, where: str, known_privileges: KnownPrivileges) -> Refusal | None:
    """Return why a name can't be granted where its row asks for it."""
    privilege = privileges.find(name)
    if privilege is not None:
        refusal = _check_server(privilege, where, known_privileges) or _check_known(
            privilege, row, where, known_privileges
        )
    else:
        refusal = _check_unlisted(name, row, where, known_privileges)
    return refusal or _check_aliases(row, where, known_privileges)


def _check_aliases(row: GrantRow, where: str, known_privileges: KnownPrivileges) -> Refusal | None:
    places = ((row.database or DEFAULT_DATABASE, collection) for collection in row.collections)
    unread = next(
        (
            name
            for place, name in zip(places, row.collections, strict=True)
            if known_privileges.aliases.get(place, "") is None
        ),
        None,
    )
    if unread is None:
        return None
    message = (
        f"{where}: {unread} may be an alias, which the operator's account may not look up, so its grants stay as they are: "
        "grant it DescribeAlias, or name the collection."
    )
    return Refusal(Reason.MISSING_PRIVILEGES, message)


def _check_unlisted(
    name: str, row: GrantRow, where: str, known_privileges: KnownPrivileges
) -> Refusal | None:
    """Return why a name outside the catalogue can't be granted: a custom group, or a privilege of a newer server."""
    if not known_privileges.privilege_groups and name in known_privileges.claimed:
        message = f"{where}: {name} is a privilege group, which needs Milvus 2.4.18 or newer; name single privileges instead."
        return Refusal(Reason.UNSUPPORTED_BY_SERVER, message)
    if known_privileges.groups_unreadable and name not in known_privileges.levels:
        return unreadable(where)
    if name in known_privileges.groups:
        return _check_group(name, row, where, known_privileges)
    if name in known_privileges.claimed:
        message = (
            f"{where}: the privilege group {name} is not in Milvus yet; it is granted as soon as it exists."
        )
        return Refusal(Reason.WAITING_FOR_PRIVILEGE_GROUP, message)
    if name in known_privileges.levels:
        # The server is newer than the catalogue: what only it knows passes through.
        return _check_scope(name, known_privileges.levels[name], row, where)
    return _unknown(name, where, known_privileges)


def expand(name: str, row: GrantRow, known_privileges: KnownPrivileges) -> Iterator[Grant]:
    """Yield the grants that a name means in its row, as the server stores them; `check` has accepted them."""
    privilege, level = privileges.find(name), known_privileges.level_of(name)
    object_type = privileges.stored_type(name)
    if level is Level.CLUSTER:
        yield Grant(object_type, name, (row.database if _takes_database(name) else None) or ANY, ANY)
        return
    # A privilege whose level a newer server has narrowed keeps the scope that it always had.
    was_wider = privilege is not None and privilege.level is Level.CLUSTER
    database = row.database or (ANY if was_wider else DEFAULT_DATABASE)
    takes_collections = level is Level.COLLECTION and not (privilege and privilege.whole_database)
    for collection in (row.collections or (ANY,)) if takes_collections else (ANY,):
        real = known_privileges.aliases.get((database, collection)) or collection
        yield Grant(object_type, name, database, real)


def _takes_database(name: str) -> bool:
    privilege = privileges.find(name)
    return privilege is not None and privilege.takes_database


def one_level(names: Iterable[str], known_privileges: KnownPrivileges) -> Refusal | None:
    """Return why privileges can't be in one group together: a group holds one level."""
    by_level: dict[str, list[str]] = {}
    for name in sorted(names):
        by_level.setdefault(str(known_privileges.level_of(name)), []).append(name)
    if len(by_level) <= 1:
        return None
    listed = "; ".join(f"{level}: {', '.join(members)}" for level, members in sorted(by_level.items()))
    message = f"spec.privileges: a group holds privileges of one level, and these are of {len(by_level)} ({listed}): make a group for each."
    return Refusal(Reason.INVALID_SCOPE, message)


def unreadable(where: str) -> Refusal:
    """Return the refusal for groups that the operator can't see; what was granted and filled before stays as it is."""
    message = f"{where}: the operator's account may not list privilege groups, so they stay as they are: grant it ListPrivilegeGroups."
    return Refusal(Reason.MISSING_PRIVILEGES, message)


V1_SINCE = (2, 3)
"""The newest line whose privileges are known to every server without V2 grants."""


def _unknown(name: str, where: str, known_privileges: KnownPrivileges) -> Refusal:
    hint = privileges.find(privileges.suggest(name) or "")
    if (meant := known_privileges.meant_groups.get(name)) is not None:
        advice = f"the MilvusPrivilegeGroup {name} has the groupName {meant}: write that"
    elif hint is None:
        advice = "the names are listed in the documentation of MilvusRole"
    elif _check_server(hint, where, known_privileges) is None:
        advice = f"write {hint.name}"
    else:
        advice = f"{hint.name} is near, but this server does not have it: name single privileges that it has"
    return Refusal(Reason.UNKNOWN_PRIVILEGE, f"{where}: Milvus has no privilege {name}; {advice}.")


def _check_server(privilege: Privilege, where: str, known_privileges: KnownPrivileges) -> Refusal | None:
    if known_privileges.privilege_groups:
        if privilege.name == ANY and known_privileges.wildcard_breaks:
            message = f"{where}: on this version a grant of * locks all users out when Milvus restarts (milvus#40547); name privileges."
            return Refusal(Reason.UNSUPPORTED_BY_SERVER, message)
        return None
    if privilege.group or privilege.since > V1_SINCE:
        needed = ".".join(str(part) for part in privilege.since)
        return Refusal(
            Reason.UNSUPPORTED_BY_SERVER,
            f"{where}: {privilege.name} needs Milvus {needed} or newer and can't be granted on this server; "
            "name single privileges that it has instead.",
        )
    return None


def _check_known(
    privilege: Privilege, row: GrantRow, where: str, known_privileges: KnownPrivileges
) -> Refusal | None:
    name = privilege.name
    if privilege.whole_database:
        if row.collections in {(), (ANY,)}:
            return None
        advice = f'Milvus applies {name} to the whole database whatever the collection: put it in a row with collections: ["*"].'
        return Refusal(Reason.INVALID_SCOPE, f"{where}: {advice}")
    if privilege.everything:
        # Milvus 2.3.5 accepts a grant of All on every database, and it has no effect.
        everywhere = row.database == ANY and not known_privileges.privilege_groups
        if row.database is None or everywhere or row.collections:
            advice = f"{name} gives everything in one database: write which one, and no collections."
            return Refusal(Reason.INVALID_SCOPE, f"{where}: {advice}")
        return None
    return _check_scope(name, known_privileges.level_of(name), row, where)


def _check_group(name: str, row: GrantRow, where: str, known_privileges: KnownPrivileges) -> Refusal | None:
    if not known_privileges.groups[name]:
        # Milvus would accept it at any scope, and later neither revoke nor drop it.
        message = (
            f"{where}: the privilege group {name} is empty; it is granted as soon as it holds a privilege."
        )
        return Refusal(Reason.WAITING_FOR_PRIVILEGE_GROUP, message)
    level = known_privileges.level_of(name)
    if level is None:
        message = f"{where}: the privileges in group {name} are not of one level, so it can't be granted anywhere: correct the group."
        return Refusal(Reason.INVALID_SCOPE, message)
    return _check_scope(name, level, row, where)


def _check_scope(name: str, level: Level | None, row: GrantRow, where: str) -> Refusal | None:
    if level is Level.CLUSTER and _takes_database(name) and not row.collections:
        return None
    if level is Level.CLUSTER and (row.database not in {None, ANY} or row.collections):
        advice = f"{name} acts on the whole cluster: put it in a row without database and collections."
    elif level is Level.DATABASE and row.collections:
        advice = f"{name} acts on a whole database: put it in a row without collections."
    elif level is Level.COLLECTION and not row.collections:
        advice = f'{name} acts on collections: name them in collections, or write ["*"] for all of them.'
    elif row.database == ANY and row.collections not in {(), (ANY,)}:
        advice = (
            "collections need a database by name: Milvus has no collection of the same name in all databases."
        )
    else:
        return None
    return Refusal(Reason.INVALID_SCOPE, f"{where}: {advice}")
