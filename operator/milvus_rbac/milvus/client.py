"""The client for a real Milvus: one channel with the operator's account, and the calls that this server knows.

Knows no resources, no Kubernetes and no rules. One attempt per call; passwords are revealed right before they are sent.
"""

from collections.abc import Callable, Collection, Mapping

from milvus_rbac.domain.changes import Change, GrantPrivilege
from milvus_rbac.domain.state import Place, Scope, State, User
from milvus_rbac.milvus import capabilities, places, read, requests
from milvus_rbac.milvus.aliases import AliasLookup
from milvus_rbac.milvus.channel import Endpoint, Session
from milvus_rbac.milvus.port import (
    NO_LISTENER,
    Address,
    Aliases,
    Capabilities,
    Credentials,
    Listener,
    PasswordTexts,
)
from milvus_rbac.milvus.snapshot import Snapshots
from milvus_rbac.milvus.write import Writer


class MilvusClient:
    """The port `Milvus` for real servers."""

    def __init__(self, address: Address, credentials: Credentials, listener: Listener = NO_LISTENER) -> None:
        self._credentials = credentials
        self._session = Session(Endpoint.of(address), credentials, listener)
        self._capabilities: Capabilities | None = None
        self._describes: bool | None = None
        """Whether the server keeps descriptions; None until a scope wants them."""
        self._snapshots = Snapshots(self._session)
        self._aliases = AliasLookup(self._session)

    @property
    def is_interrupted(self) -> bool:
        """Whether the connection broke since the last probe."""
        return self._session.interrupted

    async def probe(self) -> Capabilities:
        """Log in and find out what the server can do. What was remembered of it is forgotten: it may be another one."""
        self._session.watch()
        self._describes = None
        self._snapshots = Snapshots(self._session)
        self._aliases = AliasLookup(self._session)
        self._capabilities = await capabilities.learn(self._session, self._credentials)
        return self._capabilities

    async def observe(self, scope: Scope, password_texts: PasswordTexts) -> State:
        """Return users, roles, bindings, and the details that the scope names."""
        learned = self._capabilities or await self.probe()
        observed: State | None = None
        if learned.privilege_groups:
            observed = await self._snapshots.observe(learned, scope, password_texts)
        if observed is None:
            observed = await read.observe(self._session, learned, scope, password_texts)
        if not scope.descriptions:
            return observed
        if self._describes is None:
            self._describes = await capabilities.describes(self._session)
        return await read.with_descriptions(self._session, observed) if self._describes else observed

    async def resolve(self, places: Collection[Place]) -> Aliases:
        """Return what those of the places that are aliases stand for."""
        return await self._aliases.resolve(places)

    async def missing(self, named: Collection[Place]) -> frozenset[Place]:
        """Return which of the places Milvus does not have."""
        return await places.missing(self._session, named)

    async def confirm(self, users: Collection[str], password_texts: PasswordTexts) -> Mapping[str, User]:
        """Return users whose password was just set, as the server has them now."""
        if self._capabilities is None or not self._capabilities.privilege_groups:
            return {}
        scope = Scope(logins=dict.fromkeys(users, ""))
        seen = await self._snapshots.observe(self._capabilities, scope, password_texts)
        return {name: seen.users[name] for name in users if name in seen.users} if seen else {}

    async def apply(
        self, change: Change, password_texts: PasswordTexts, may_write: Callable[[], None]
    ) -> None:
        """Carry out one change; each of its writes asks first."""
        learned = self._capabilities or await self.probe()
        self._snapshots.forget()
        if isinstance(change, GrantPrivilege):
            self._aliases.forget((change.grant.database, change.grant.object_name))
        await Writer(self._session, learned, password_texts, may_write).apply(change)

    async def close(self) -> None:
        """Close the channel; calls under way end as unreachable."""
        await self._session.close()


async def bootstrap(
    address: Address, wanted: Credentials, may_write: Callable[[], None], listener: Listener = NO_LISTENER
) -> None:
    """Change the password of root on a fresh server from the default, which everybody knows, to the wanted one."""
    async with Session(Endpoint.of(address), capabilities.DEFAULT_ROOT, listener) as session:
        await session.log_in()
        may_write()
        request = requests.update_password(
            wanted.username, capabilities.DEFAULT_ROOT.password, wanted.password
        )
        await session.write("UpdateCredential", request)
