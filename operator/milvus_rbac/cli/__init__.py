"""The command line: one file per command."""

from milvus_rbac.cli.run import main

__all__ = ["main"]
