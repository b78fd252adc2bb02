"""The only door to Kubernetes. Knows nothing of Milvus, and decides nothing.

One `Access` finds the API server and keeps credentials and certificates fresh. Each purpose has a `Client`, a connection
pool of its own, so that none waits for another:

- calls: Secrets, statuses, finalizers and lists;
- the Lease: its renewal must not wait behind hundreds of other requests;
- Events: a burst of them delays nothing;
- watches: each holds its connection for minutes.
"""
