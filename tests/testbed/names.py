"""Names that no other test has."""

import secrets


class Unique:
    """Makes names; `token` is in all of them, so that a dump can be limited to one test's own."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(3)
        self._count: dict[str, int] = {}

    def __call__(self, prefix: str = "t") -> str:
        """A name of letters, digits and underscores; another one at each call."""
        count = self._count[prefix] = self._count.get(prefix, 0) + 1
        return f"{prefix}_{self.token}" + (f"_{count}" if count > 1 else "")
