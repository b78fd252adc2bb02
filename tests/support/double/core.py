"""What every handler works with: one server's dress, settings, store and proxies, and who calls."""

import asyncio
from dataclasses import dataclass

import bcrypt

from support.double.dress import Dress
from support.double.proxies import Proxies
from support.double.settings import ServerSettings
from support.double.store import ROOT, Account, Store

CLOUD_ADMIN = "db_admin"


@dataclass(slots=True)
class Core:
    """Of one server."""

    dress: Dress
    settings: ServerSettings
    store: Store
    proxies: Proxies
    hashed: int = 0
    """How many password hashes were made."""

    @classmethod
    def fresh(cls, dress: Dress, settings: ServerSettings) -> "Core":
        """A server as it is after its first start."""
        store = Store(dress, settings.default_root_password)
        if dress.cloud:
            store.users[CLOUD_ADMIN] = store.users.pop(ROOT)
            store.users[CLOUD_ADMIN].roles.add("admin")
            store.roles |= dict.fromkeys(("db_admin", "db_rw", "db_ro"), "")
        return cls(dress, settings, store, Proxies(dress, store, settings.proxy_delay))

    async def hash_of(self, account: Account) -> str:
        """Return the bcrypt hash of a password, made when it is first asked for."""
        if not account.hash:
            cost = self.settings.bcrypt_cost or self.dress.bcrypt_cost
            raw = account.password.encode()
            made = await asyncio.to_thread(lambda: bcrypt.hashpw(raw, bcrypt.gensalt(max(cost, 4))))
            account.hash = made.decode()
            self.hashed += 1
        return account.hash

    def accepts(self, account: Account, password: str) -> bool:
        """Return whether a password is right; after a restore only its hash is known."""
        if account.password or not account.hash:
            return account.password == password
        try:
            return bcrypt.checkpw(password.encode(), account.hash.encode())
        except ValueError:
            return False  # no hash at all: no login works with that


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls."""

    name: str | None
    """None without credentials, where that is allowed."""
    database: str = ""
    """From the connection's header."""
