"""Which proxy leads to the API server: the rules of kubectl and of every client in Go (golang.org/x/net/http/httpproxy).

Python's own rules know no CIDR blocks in NO_PROXY, and clusters commonly have `NO_PROXY=10.0.0.0/8,.svc`.
"""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": "80", "https": "443"}


def find_proxy(url: str, environment: Mapping[str, str]) -> str | None:
    """Return the URL of the proxy that the environment has for this URL; None when it is reached directly."""
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    proxy = _variable(environment, f"{scheme}_proxy")
    if not proxy or _is_local(host):
        return None
    port = str(parts.port or DEFAULT_PORTS.get(scheme, ""))
    if any(_matches(entry, host, port) for entry in _variable(environment, "no_proxy").split(",")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _variable(environment: Mapping[str, str], name: str) -> str:
    return (environment.get(name.upper()) or environment.get(name) or "").strip()


def _matches(entry: str, host: str, port: str) -> bool:
    """Return whether an entry of NO_PROXY covers a host: `*`, an IP address, a CIDR block or a domain; a port narrows it."""
    entry = entry.strip().lower()
    if entry == "*":
        return True
    address = _read_address(host)
    if "/" in entry:
        return address is not None and _is_in_block(address, entry)
    name, wanted_port = _split_port(entry)
    if not name or (wanted_port and wanted_port != port):
        return False
    wanted = _read_address(name)
    if wanted is not None:
        return wanted == address
    domain = name.removeprefix("*")
    return host.endswith(domain) if domain.startswith(".") else host == domain or host.endswith(f".{domain}")


def _split_port(entry: str) -> tuple[str, str]:
    """Split host:port; an IPv6 address has its port behind brackets, or none."""
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        return name, rest.removeprefix(":")
    if entry.count(":") != 1:
        return entry, ""
    name, _, port = entry.partition(":")
    return name, port


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _read_address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_in_block(address: Address, block: str) -> bool:
    try:
        return address in ipaddress.ip_network(block, strict=False)
    except ValueError:
        return False


def _is_local(host: str) -> bool:
    address = _read_address(host)
    return host == "localhost" or (address is not None and address.is_loopback)
