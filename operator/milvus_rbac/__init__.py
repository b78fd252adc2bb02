"""Manage Milvus access control through Kubernetes custom resources."""
