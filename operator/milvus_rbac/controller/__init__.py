"""Which claims are reconciled when, what one turn does, and what is reported. It reaches Kubernetes and Milvus through kube/ and milvus/, and knows no Kopf."""
