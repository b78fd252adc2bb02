"""Writes manifests/install.yaml, for those without Helm: the chart with its own values. `--check` only compares."""

import sys
from pathlib import Path
from typing import Final

from testbed import build
from testbed.chart import CHART, NAME, SYSTEM, helm

FILE: Final = Path(__file__).parents[2] / "manifests" / "install.yaml"
_HEAD: Final = f"""\
# milvus-rbac-operator for all namespaces, in {SYSTEM}. Rendered from the chart by `make generate`; changes here are overwritten.
# Before you apply it, put your image into the Deployment.
apiVersion: v1
kind: Namespace
metadata:
  name: {SYSTEM}
  labels:
    pod-security.kubernetes.io/enforce: restricted
"""


def text(binary: Path) -> str:
    """The whole file."""
    rendered = helm(binary, "template", NAME, CHART, f"--namespace={SYSTEM}", "--include-crds")
    return _HEAD + rendered


def main() -> int:
    """The command line."""
    fresh = text(build.ensure_kubernetes().helm)
    if "--check" not in sys.argv:
        FILE.write_text(fresh)
    return 0 if FILE.read_text() == fresh else 1


if __name__ == "__main__":
    sys.exit(main())
