"""Real servers for the tests: a Kubernetes control plane and Milvus 2.3, built and started without containers."""
