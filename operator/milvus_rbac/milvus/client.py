"""The door to a real Milvus: one channel with the operator's account, speaking the dialect that the server knows.

Knows no resources, no Kubernetes and no rules. One attempt per call; passwords are revealed right before the wire.
"""

from collections.abc import Callable, Collection, Mapping

from milvus_rbac.domain.changes import Change
from milvus_rbac.domain.state import Place, Scope, State, User
from milvus_rbac.milvus import capabilities, read, requests
from milvus_rbac.milvus.channel import Endpoint, Session
from milvus_rbac.milvus.port import DEAF, Address, Capabilities, Credentials, Listener, PasswordTexts
from milvus_rbac.milvus.read import Snapshots
from milvus_rbac.milvus.write import Writer


class MilvusClient:
    """The port `Milvus` for real servers."""

    def __init__(self, address: Address, credentials: Credentials, listener: Listener = DEAF) -> None:
        self._credentials = credentials
        self._session = Session(Endpoint.of(address), credentials, listener)
        self._features: Capabilities | None = None
        self._describes: bool | None = None
        """Whether the server keeps descriptions; None while nobody wanted to know."""
        self._snapshots = Snapshots(self._session)

    @property
    def is_interrupted(self) -> bool:
        """Whether the connection broke since the last greeting."""
        return self._session.interrupted

    async def probe(self) -> Capabilities:
        """Log in and find out what the server is; what is found shapes later reads."""
        self._session.watch()
        self._describes = None
        self._snapshots = Snapshots(self._session)
        self._features = await capabilities.learn(self._session, self._credentials)
        return self._features

    async def observe(self, scope: Scope, password_texts: PasswordTexts) -> State:
        """Read the slice that the scope names."""
        learned = self._features or await self.probe()
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

    async def resolve(self, places: Collection[Place]) -> Mapping[Place, str | None]:
        """Look up which of these are aliases."""
        return await read.aliases(self._session, places)

    async def confirm(self, users: Collection[str], password_texts: PasswordTexts) -> Mapping[str, User]:
        """Look at users whose password was just set."""
        if self._features is None or not self._features.privilege_groups:
            return {}
        scope = Scope(logins=dict.fromkeys(users, ""))
        seen = await self._snapshots.observe(self._features, scope, password_texts)
        return {name: seen.users[name] for name in users if name in seen.users} if seen else {}

    async def apply(
        self, change: Change, password_texts: PasswordTexts, may_write: Callable[[], None]
    ) -> None:
        """Carry out one change; each of its writes asks first."""
        learned = self._features or await self.probe()
        self._snapshots.forget()
        await Writer(self._session, learned, password_texts, may_write).apply(change)

    async def close(self) -> None:
        """Close the channel; calls under way end as unreachable."""
        await self._session.close()


async def bootstrap(
    address: Address, wanted: Credentials, may_write: Callable[[], None], listener: Listener = DEAF
) -> None:
    """Give root of a fresh server the wanted password, instead of the one that the whole world knows."""
    async with Session(Endpoint.of(address), capabilities.DEFAULT_ROOT, listener) as session:
        await session.log_in()
        may_write()
        request = requests.update_password(
            wanted.username, capabilities.DEFAULT_ROOT.password, wanted.password
        )
        await session.write("UpdateCredential", request)
