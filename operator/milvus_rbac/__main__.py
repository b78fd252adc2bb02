"""`python -m milvus_rbac` is `milvus-rbac`."""

from milvus_rbac.cli import main

main()
