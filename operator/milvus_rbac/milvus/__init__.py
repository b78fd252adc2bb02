"""The only door to Milvus: pymilvus' generated stubs on one channel per connection. Knows no Kubernetes."""
