"""What a server's configuration file would say."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The settings that matter to access control, under the names of milvus.yaml as far as Python allows."""

    authorization_enabled: bool = True
    super_users: frozenset[str] = frozenset()
    root_should_bind_role: bool = False
    min_password_length: int = 6
    max_password_length: int | None = None
    """None: what the version has by itself."""
    max_username_length: int = 32
    max_user_num: int = 100
    """Counts root."""
    max_role_num: int = 10
    """Counts admin and public."""
    role_name_allowed_chars: str = "$"
    """Only 2.6 and newer read it."""
    default_root_password: str = "Milvus"  # noqa: S105 - what every fresh Milvus comes with
    bcrypt_cost: int | None = None
    """None: what the version has by itself."""
    proxy_delay: float | None = 0.0
    """Seconds after which the proxies of a version that tells them late know of a change; None: when they are made to."""
