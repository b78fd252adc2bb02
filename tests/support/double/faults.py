"""What can go wrong between a caller and a server, on demand."""

import asyncio
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Trouble(Enum):
    """What becomes of a call."""

    REFUSED = "nothing is done, and the call ends as if the server were gone"
    UNHEARD_OF = "nothing is done, and the reply is a refusal that no version is known for"
    REPLY_LOST = "it is done, and nobody hears of it"
    HANGING = "nothing is done, and no answer ever comes"
    NOT_READY = "the server says that it is starting"


@dataclass(slots=True)
class Fault:
    """Trouble for the next calls of one method, or of all."""

    trouble: Trouble | None
    method: str = ""
    times: int = 1
    delay: float = 0.0
    """Seconds before the call is looked at."""
    about: str = ""
    """Only for requests that name this: a user, role, group, database, alias or collection."""


@dataclass(slots=True)
class Faults:
    """All troubles that are to come, and every call that came."""

    coming: list[Fault] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    """Method and caller, in the order in which they came."""

    def add(
        self, trouble: Trouble | None, method: str = "", times: int = 1, delay: float = 0.0, about: str = ""
    ) -> None:
        """Have trouble come."""
        self.coming.append(Fault(trouble, method, times, delay, about))

    async def meet(self, method: str, request: Any) -> Trouble | None:
        """Return what becomes of a call, after its delay."""
        for fault in self.coming:
            if fault.method in {"", method} and (not fault.about or f'"{fault.about}"' in str(request)):
                fault.times -= 1
                if fault.times <= 0:
                    self.coming.remove(fault)
                await asyncio.sleep(fault.delay)
                return fault.trouble
        return None

    def count(self, method: str) -> int:
        """Count the calls of a method."""
        return sum(one == method for one, _ in self.calls)
