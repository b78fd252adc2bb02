"""The door to a real Milvus: one channel with the operator's account, speaking the dialect that the server knows.

Knows no resources, no Kubernetes and no rules. One attempt per call; passwords are revealed right before the wire.
"""

from collections.abc import Callable, Collection, Mapping

from milvus_rbac.domain.changes import Change
from milvus_rbac.domain.state import Place, Scope, State, User
from milvus_rbac.milvus import features, read, requests
from milvus_rbac.milvus.endpoint import Endpoint
from milvus_rbac.milvus.listener import DEAF, Listener
from milvus_rbac.milvus.port import Address, Credentials, Features, Wallet
from milvus_rbac.milvus.session import Session
from milvus_rbac.milvus.snapshot import Snapshots
from milvus_rbac.milvus.write import Writer


class MilvusClient:
    """The port `Milvus` for real servers."""

    def __init__(self, address: Address, credentials: Credentials, listener: Listener = DEAF) -> None:
        self._credentials = credentials
        self._session = Session(Endpoint.of(address), credentials, listener)
        self._features: Features | None = None
        self._describes: bool | None = None
        """Whether the server keeps descriptions; None while nobody wanted to know."""
        self._snapshots = Snapshots(self._session)

    @property
    def is_interrupted(self) -> bool:
        """Whether the connection broke since the last greeting."""
        return self._session.interrupted

    async def greet(self) -> Features:
        """Log in and find out what the server is; what is found shapes later reads."""
        self._session.watch()
        self._describes = None
        self._snapshots = Snapshots(self._session)
        self._features = await features.learn(self._session, self._credentials)
        return self._features

    async def observe(self, scope: Scope, wallet: Wallet) -> State:
        """Read the slice that the scope names."""
        learned = self._features or await self.greet()
        observed: State | None = None
        if learned.privilege_groups:
            observed = await self._snapshots.observe(learned, scope, wallet)
        if observed is None:
            observed = await read.observe(self._session, learned, scope, wallet)
        if not scope.descriptions:
            return observed
        if self._describes is None:
            self._describes = await features.describes(self._session)
        return await read.with_descriptions(self._session, observed) if self._describes else observed

    async def resolve(self, places: Collection[Place]) -> Mapping[Place, str | None]:
        """Look up which of these are aliases."""
        return await read.aliases(self._session, places)

    async def confirm(self, users: Collection[str], wallet: Wallet) -> Mapping[str, User]:
        """Look at users whose password was just set."""
        if self._features is None or not self._features.privilege_groups:
            return {}
        scope = Scope(logins=dict.fromkeys(users, ""))
        seen = await self._snapshots.observe(self._features, scope, wallet)
        return {name: seen.users[name] for name in users if name in seen.users} if seen else {}

    async def perform(self, change: Change, wallet: Wallet, may_write: Callable[[], None]) -> None:
        """Carry out one change; each of its writes asks first."""
        learned = self._features or await self.greet()
        self._snapshots.forget()
        await Writer(self._session, learned, wallet, may_write).perform(change)

    async def close(self) -> None:
        """Close the channel; calls under way end as unreachable."""
        await self._session.close()


async def bootstrap(
    address: Address, wanted: Credentials, may_write: Callable[[], None], listener: Listener = DEAF
) -> None:
    """Give root of a fresh server the wanted password, instead of the one that the whole world knows."""
    async with Session(Endpoint.of(address), features.DEFAULT_ROOT, listener) as session:
        await session.log_in()
        may_write()
        request = requests.update_password(wanted.username, features.DEFAULT_ROOT.password, wanted.password)
        await session.write("UpdateCredential", request)
