"""What a process can tell about the Pod that it runs in. Asks nobody."""

from pathlib import Path

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def own_namespace() -> str:
    """Give the namespace of this Pod; outside of one it is `default`, as for kubectl."""
    try:
        return NAMESPACE_FILE.read_text(encoding="utf-8").strip() or "default"
    except OSError:
        return "default"
