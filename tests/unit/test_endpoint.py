"""A server is its host and port, however they are written."""

import pytest

from milvus_rbac.controller.connection import complete, endpoint


@pytest.mark.parametrize(
    ("uri", "identity", "reason"),
    [
        (
            "http://milvus:19530",
            "milvus.team:19530",
            "a short name is completed with the connection's namespace",
        ),
        ("https://milvus:19530", "milvus.team:19530", "the scheme does not matter"),
        ("http://milvus", "milvus.team:19530", "http without a port"),
        ("https://milvus", "milvus.team:443", "https without a port"),
        ("http://milvus/", "milvus.team:19530", "a slash at the end says nothing"),
        ("http://MILVUS.Team:19530", "milvus.team:19530", "letters of the other case"),
        ("http://milvus.team:19530", "milvus.team:19530", "with the namespace"),
        ("http://milvus.team.svc:19530", "milvus.team:19530", "with svc"),
        ("http://milvus.team.svc.cluster.local:19530", "milvus.team:19530", "in full"),
        ("http://milvus.team.svc.cluster.local.:19530", "milvus.team:19530", "in full, with the root's dot"),
        ("http://milvus.other.svc:19530", "milvus.other:19530", "of another namespace"),
        ("http://milvus.svc.svc.cluster.local:19530", "milvus.svc:19530", "in a namespace called svc"),
        ("http://milvus.svc:19530", "milvus.svc:19530", "in a namespace called svc, in short"),
        ("https://db.example.com", "db.example.com:443", "a host of the world"),
        ("http://localhost:19530", "localhost:19530", "no Service is called localhost"),
        ("http://10.0.0.7:19530", "10.0.0.7:19530", "an address"),
        ("http://[2001:DB8::1]:19530", "[2001:db8::1]:19530", "an address in brackets"),
    ],
)
def test_one_server_has_one_identity(uri: str, identity: str, reason: str) -> None:
    assert endpoint(uri, "team") == identity, reason


@pytest.mark.parametrize(
    ("uri", "dialled", "reason"),
    [
        ("http://milvus:19530", "http://milvus.team.svc:19530", "what is judged is what is dialled"),
        ("https://milvus", "https://milvus.team.svc", "without a port"),
        ("http://milvus/", "http://milvus.team.svc", "a slash at the end says nothing"),
        ("http://milvus.team:19530", "http://milvus.team:19530", "as it was written"),
        ("http://localhost:19530", "http://localhost:19530", "no Service is called localhost"),
        ("http://10.0.0.7:19530", "http://10.0.0.7:19530", "an address"),
        ("http://[::1]:19530", "http://[::1]:19530", "an address in brackets"),
        ("http://milvus:70000", "http://milvus:70000", "no such port, and connecting says so"),
    ],
)
def test_a_short_name_is_dialled_in_the_namespace_in_which_it_is_judged(
    uri: str, dialled: str, reason: str
) -> None:
    assert complete(uri, "team") == dialled, reason
    assert endpoint(dialled, "elsewhere") == endpoint(uri, "team") or "70000" in uri, reason


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("http://milvus:70000", "no such port"),
        ("http://[1:2]:19530", "no such address"),
    ],
)
def test_an_address_that_cannot_be_is_still_an_identity_of_its_own(uri: str, reason: str) -> None:
    """One MilvusConnection's slip must not keep the others from being told apart."""
    assert (
        endpoint(uri, "team")
        == endpoint(uri.upper().replace("HTTP", "http"), "other")
        != endpoint("http://milvus", "team")
    ), reason
