"""What the controller may ask of a Milvus, and the values that go back and forth.

`MilvusClient` (client.py) implements it for real servers.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from milvus_rbac.domain.changes import Change
from milvus_rbac.domain.privileges import Level
from milvus_rbac.domain.state import PasswordVerdict, Place, Scope, State, User
from milvus_rbac.milvus.errors import MilvusRbacError

WRITE_SECONDS = 30.0
"""How long one write may take: a roll of the server's log holds one for 5 s on 2.6 and 3.0. The Lease must last longer."""


class Password:
    """A password's text, held so that no log line, traceback or repr shows it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text. Only the client calls this, right before it sends the text."""
        return self._text

    def __repr__(self) -> str:
        return "Password(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Password) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The operator's own account on a server."""

    username: str
    """Empty for an API key of Zilliz Cloud, which is the password then: whose key it is can't be asked."""
    password: Password

    @property
    def token(self) -> str:
        """The token that Milvus wants with every call; it holds the password, so it is sent and never shown."""
        text = self.password.reveal()
        return f"{self.username}:{text}" if self.username else text


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """The certificate and key that the operator shows to a server that wants one, as PEM."""

    chain: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is and how to speak to it."""

    uri: str
    ca_pem: bytes | None = None
    """The CA to trust for https; None trusts the system's."""
    client: ClientCertificate | None = None
    server_name: str | None = None
    """The name that the server's certificate must carry, where it differs from the URI's host."""


@dataclass(frozen=True, slots=True)
class PasswordTexts:
    """The password texts that one reconciliation may need, by user name. They live here and in Secrets only."""

    wanted: Mapping[str, Password] = field(default_factory=dict)
    """What the Secrets hold."""
    old: Mapping[str, Password] = field(default_factory=dict)
    """What was in force before."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server can do and how it is set up, as `probe` found it."""

    version: str
    """The server's own text; builds without a stamp answer "unknown"."""
    authorization: bool
    """False: any password logs in (common.security.authorizationEnabled is off)."""
    missing_privileges: Sequence[str] = ()
    """Privileges that the operator's account lacks."""
    useful_privileges: Sequence[str] = ()
    """Privileges that it lacks too and can do without: then privilege groups can't be managed, or reading takes more calls."""
    root_password_is_default: bool = False
    cloud: bool = False
    """Zilliz Cloud: db_admin in the place of root, and much that only a support ticket turns on."""
    companions: bool = False
    """Load and Flush come with companions (Milvus 2.3.6 and later)."""
    privilege_groups: bool = False
    """OperatePrivilegeV2, privilege groups and BackupRBAC are there (2.4.18, 2.5 and later)."""
    builtin_groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The groups that Milvus brings along, with their privileges: they differ by version and by milvus.yaml."""
    wildcard_database_lists_all: bool = False
    """SelectGrant with database `*` lists the grants of all databases (2.4.1 and later)."""
    resolves_aliases: bool = False
    """A grant on an alias is stored under the alias' collection (2.6.12 and later)."""
    wildcard_breaks: bool = False
    """A grant of the privilege `*` locks all users out when the proxies restart (milvus#39365, #40547)."""

    @property
    def dialect(self) -> str:
        """Which of Milvus' two ways to grant is spoken."""
        return "V2" if self.privilege_groups else "V1"

    @property
    def levels(self) -> Mapping[str, Level]:
        """The level of each privilege, by the server's own groups."""
        return {
            privilege: level
            for level in Level
            for privilege in self.builtin_groups.get(f"{level.value}Admin", ())
        }

    @property
    def databases_are_boundaries(self) -> bool:
        """Whether a request is judged by the database it names (3.0), and not by the connection's (milvus#50678)."""
        # 3.0 is also where renaming a collection came down to the level of databases.
        return self.levels.get("RenameCollection") is Level.DATABASE


@dataclass(frozen=True, slots=True)
class Aliases:
    """What the server answered about names that may be aliases."""

    known: Mapping[Place, str | None] = field(default_factory=dict)
    """The collection of each alias. A name that is no alias is left out; None is a name that the operator's account may
    not look up."""
    troubled: Mapping[Place, MilvusRbacError] = field(default_factory=dict)
    """Names about which the server gave an answer that the client does not understand."""
    unasked: frozenset[Place] = frozenset()
    """Names that must wait for the next call: one call asks about a bounded number, and the answers are remembered."""


class Milvus(Protocol):
    """One server, reached with the operator's account. Every call is one attempt; the controller tries again.

    Raises:
        Refused: the server refused, with its reason.
        Unreachable: no answer that means anything.
        InternalError: an answer that the client does not understand.
    """

    @property
    def is_interrupted(self) -> bool:
        """Whether the connection broke since the last probe, so that another server may answer by now."""
        ...

    async def probe(self) -> Capabilities:
        """Log in and find out what the server can do. Raises Unreachable with the reason when that fails."""
        ...

    async def observe(self, scope: Scope, password_texts: PasswordTexts) -> State:
        """Return users, roles, bindings, and the details that the scope names; passwords are compared with the given texts.

        What the server refuses, or answers unintelligibly, about one object ends in `State.troubles`. `scope.may_be_old`
        allows the use of a snapshot that was read before; `apply` makes every earlier snapshot unusable, writes of other
        clients do not.
        """
        ...

    async def resolve(self, places: Collection[Place]) -> Aliases:
        """Return what those of the places that are aliases stand for. Raises Unreachable only."""
        ...

    async def missing(self, named: Collection[Place]) -> frozenset[Place]:
        """Return which of the collections, and of the databases (with `*`), are not there. Raises Unreachable only."""
        ...

    async def confirm(self, users: Collection[str], password_texts: PasswordTexts) -> Mapping[str, User]:
        """Return users whose password was just set, as the server has them now.

        Empty where the server shows no password hashes: a login would be the only proof.
        """
        ...

    async def apply(
        self, change: Change, password_texts: PasswordTexts, may_write: Callable[[], None]
    ) -> None:
        """Carry out one change. `may_write` is called right before every single write and raises to forbid it."""
        ...

    async def close(self) -> None:
        """Close the channel."""
        ...


CallResult = Literal["ok", "refused", "unreachable", "failed"]
"""`unreachable`: no answer that means anything, rejected credentials included; `failed`: an unintelligible answer."""
Check = Literal["digest", "hash", "login"]
"""`digest`: the server's hash is the one that was found in force before; `hash`: bcrypt; `login`: a login on its own channel."""


class Listener:
    """Learns of calls and password checks; this one ignores them, and metrics override it."""

    def called(self, method: str, result: CallResult) -> None:
        """Note that one attempt of a call ended."""

    def checked(self, check: Check, verdict: PasswordVerdict) -> None:
        """Note that a password was checked."""


NO_LISTENER = Listener()
