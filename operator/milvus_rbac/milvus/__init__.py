"""The only package that speaks to Milvus: pymilvus' generated stubs on one channel per connection. Knows no Kubernetes."""
