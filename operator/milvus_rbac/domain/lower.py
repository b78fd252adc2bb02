"""Say what resources want in the words that a server stores. This is where servers differ; nothing else knows dialects."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from milvus_rbac.domain import catalogue
from milvus_rbac.domain.catalogue import Level, Privilege
from milvus_rbac.domain.changes import PasswordMeans
from milvus_rbac.domain.claims import Claim, GrantRow, WantedRole, WantedUser
from milvus_rbac.domain.conditions import Reason, Refusal
from milvus_rbac.domain.state import ANY, DEFAULT_DATABASE, PUBLIC_ROLE, Grant, ObjectType


class PasswordUpdate(StrEnum):
    """spec.passwordUpdate of a connection."""

    AUTO = "Auto"
    IN_PLACE = "InPlace"


@dataclass(frozen=True, slots=True)
class Terms:
    """What is known about the server and agreed with its owner, as far as decisions need it."""

    observe_only: bool = False
    """mode: Observe."""
    authorization: bool = True
    password_update: PasswordUpdate = PasswordUpdate.AUTO
    superuser: bool | None = None
    """Whether the operator's account changes passwords without the old one; None: not tried yet."""
    known_old: frozenset[str] = frozenset()
    """Users whose password in force is remembered and is not the wanted one."""
    privilege_groups: bool = False


@dataclass(frozen=True, slots=True)
class DesiredRole:
    """The grants a role is to have."""

    grants: frozenset[Grant]


@dataclass(frozen=True, slots=True)
class DesiredUser:
    """The roles a user is to have, and the way to a new password if it needs one."""

    roles: frozenset[str]
    means: PasswordMeans | None
    """None: only by dropping and re-creating the user."""
    assume_refused: bool = False
    """Take the password for outdated where nobody can try it: with authorization off every login works."""


@dataclass(frozen=True, slots=True)
class Desired:
    """One claim, said so that it can be compared with what the server holds."""

    claim: Claim
    state: DesiredRole | DesiredUser | None
    """None: the object is not to be there."""
    refusals: tuple[Refusal, ...] = ()
    """What of the claim was refused by itself."""


def lower(assembled: Iterable[tuple[Claim, Refusal | None]], terms: Terms) -> tuple[Desired, ...]:
    """Say every claim in what this server can express; a claim that owns nothing wants nothing."""
    return tuple(_lower_claim(claim, refusal, terms) for claim, refusal in assembled)


def _lower_claim(claim: Claim, refusal: Refusal | None, terms: Terms) -> Desired:
    if refusal is not None or claim.deleting:
        return Desired(claim, None, (refusal,) if refusal else ())
    match claim.wanted:
        case WantedRole(rows):
            return _lower_role(claim, rows, terms)
        case WantedUser():
            return _lower_user(claim, claim.wanted, terms)


def _lower_user(claim: Claim, wanted: WantedUser, terms: Terms) -> Desired:
    refusals = []
    if wanted.password_refusal is not None:
        refusals.append(wanted.password_refusal)
    if PUBLIC_ROLE in wanted.roles:
        message = f"spec.roles: every user has {PUBLIC_ROLE} anyway; take it out of the list."
        refusals.append(Refusal(Reason.RESERVED_NAME, message))
    means: PasswordMeans | None = None
    if claim.object_name in terms.known_old:
        means = PasswordMeans.KNOWN_TEXT
    elif terms.superuser is not False:
        means = PasswordMeans.SUPERUSER
    outdated = wanted.rotated and not terms.authorization
    return Desired(claim, DesiredUser(wanted.roles - {PUBLIC_ROLE}, means, outdated), tuple(refusals))


def _lower_role(claim: Claim, rows: tuple[GrantRow, ...], terms: Terms) -> Desired:
    grants: set[Grant] = set()
    refusals: list[Refusal] = []
    for index, row in enumerate(rows):
        for name in row.privileges:
            refusal = _check(name, row, f"spec.grants[{index}]", terms)
            if refusal is None:
                grants.update(_expand(name, row))
            else:
                refusals.append(refusal)
    return Desired(claim, DesiredRole(frozenset(grants)), tuple(refusals))


def _expand(name: str, row: GrantRow) -> Iterator[Grant]:
    privilege = catalogue.find(name)
    assert privilege is not None, "checked before"  # noqa: S101 - tells mypy what _check established
    if privilege.level is Level.CLUSTER:
        yield Grant(privilege.object_type, name, ANY, ANY)
        return
    database = (
        row.database or DEFAULT_DATABASE
    )  # for `*` and All the scope check has made sure that it was written
    if privilege.object_type is ObjectType.COLLECTION:
        for collection in row.collections or (ANY,):
            yield Grant(privilege.object_type, name, database, collection)
    else:
        yield Grant(privilege.object_type, name, database, ANY)


def _check(name: str, row: GrantRow, where: str, terms: Terms) -> Refusal | None:
    privilege = catalogue.find(name)
    if privilege is None:
        hint = catalogue.suggest(name)
        advice = f"write {hint}" if hint else "see docs/milvusrole.md for the names"
        return Refusal(Reason.UNKNOWN_PRIVILEGE, f"{where}: Milvus has no privilege {name}; {advice}.")
    return _check_server(privilege, where, terms) or _check_scope(privilege, row, where)


def _check_server(privilege: Privilege, where: str, terms: Terms) -> Refusal | None:
    if privilege.group or (privilege.since > V1_SINCE and not terms.privilege_groups):
        needed = ".".join(str(part) for part in privilege.since)
        return Refusal(
            Reason.UNSUPPORTED_BY_SERVER,
            f"{where}: {privilege.name} needs Milvus {needed} or newer and can't be granted on this server; "
            "name single privileges that it has instead.",
        )
    return None


V1_SINCE = (2, 3)
"""The newest names that every server with V1 grants only is sure to know."""


def _check_scope(privilege: Privilege, row: GrantRow, where: str) -> Refusal | None:
    name = privilege.name
    if privilege.level is Level.CLUSTER and (row.database not in {None, ANY} or row.collections):
        advice = f"{name} acts on the whole cluster: put it in a row without database and collections."
    elif privilege.level is Level.DATABASE and row.collections:
        advice = f"{name} acts on a whole database: put it in a row without collections."
    elif privilege.whole_database and row.collections:
        advice = (
            f"Milvus applies {name} to the whole database whatever the collection: put it in a row without."
        )
    elif privilege.everything and (row.database in {None, ANY} or row.collections):
        # Milvus 2.3.5 takes a grant of All on every database, and nothing comes of it.
        advice = f"{name} gives everything in one database: write which, and no collections."
    elif row.database == ANY and row.collections:
        advice = (
            "collections need a database by name: Milvus has no collection of the same name in all databases."
        )
    else:
        return None
    return Refusal(Reason.INVALID_SCOPE, f"{where}: {advice}")
