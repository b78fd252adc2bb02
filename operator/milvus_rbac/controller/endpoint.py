"""The identity of a server: host and port, whatever the scheme. Knows nothing of what answers there."""

import ipaddress
from urllib.parse import urlsplit

_PORTS = {"http": 19530, "https": 443}
_CLUSTER_SUFFIXES = (".svc.cluster.local", ".svc")


def endpoint(uri: str, namespace: str) -> str:
    """Say which server a URI means; in-cluster short names are completed with the connection's namespace."""
    try:
        parts = urlsplit(uri)
        port = parts.port or _PORTS.get(parts.scheme, 19530)
    except ValueError:
        # A port beyond 65535, brackets around what is no address: nothing answers there, and connecting says so.
        return uri.lower()
    host = (parts.hostname or "").rstrip(".").lower()
    if ":" in host:
        return f"[{host}]:{port}"
    suffix = next(
        (one for one in _CLUSTER_SUFFIXES if host.endswith(one) and "." in host.removesuffix(one)), ""
    )
    host = host.removesuffix(suffix)
    if "." not in host and host != "localhost" and not _is_address(host):
        host = f"{host}.{namespace}"
    return f"{host}:{port}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
