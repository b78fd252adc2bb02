"""The only door to Kubernetes beside Kopf's watches. Knows neither Milvus nor Kopf, and decides nothing."""
