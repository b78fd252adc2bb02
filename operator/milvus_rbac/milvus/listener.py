"""Who is told what happens at the door to Milvus, to count it. Nothing of what a call says or gets reaches it."""

from typing import Literal

from milvus_rbac.domain.state import PasswordVerdict

CallResult = Literal["ok", "refused", "unreachable", "failed"]
"""`unreachable`: no answer that means anything, credentials that are rejected included; `failed`: one that nobody expected."""
Check = Literal["digest", "hash", "login"]
"""`digest`: the server's hash is the one that was found in force before; `hash`: bcrypt; `login`: on a channel of its own."""


class Listener:
    """Hears nothing; whoever counts overrides."""

    def called(self, method: str, result: CallResult) -> None:
        """One attempt of a call ended."""

    def checked(self, check: Check, verdict: PasswordVerdict) -> None:
        """It was looked whether a password is in force."""


DEAF = Listener()
