"""Settings: what the environment may say, and what comes of it."""

import pytest
from pydantic import ValidationError

from milvus_rbac.settings import HttpAddress, ObjectName, Settings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No setting of whoever runs the tests; POD_NAME as in a Pod."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"MILVUS_RBAC_{name.upper()}", raising=False)
    monkeypatch.setenv("POD_NAME", "operator-0")
    return monkeypatch


def test_without_any_setting_everything_is_served() -> None:
    settings = Settings()
    assert settings.model_dump() == {
        "namespaces": None,
        "default_connection": None,
        "connection_namespaces": None,
        "allowed_endpoints": None,
        "lease_namespace": "default",
        "lease_name": "milvus-rbac-operator",
        "identity": "operator-0",
        "log_level": "INFO",
        "log_format": "json",
        "http_address": ("", 8080),
        "kubeconfig": None,
    }
    assert settings.allows_connections_in("anywhere")
    assert settings.allows_endpoint("anything:1")


def test_outside_of_a_pod_the_host_is_the_identity(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("POD_NAME")
    assert Settings().identity


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("namespaces", "team-a, team-b,team-a,", ("team-a", "team-b")),
        ("namespaces", "", None),
        ("namespaces", " , ", None),
        ("default_connection", "milvus/prod", ObjectName("milvus", "prod")),
        ("default_connection", "", None),
        ("connection_namespaces", "milvus", ("milvus",)),
        ("allowed_endpoints", "*.Example.com:19530,10.0.0.1:*", ("*.example.com:19530", "10.0.0.1:*")),
        ("identity", "me", "me"),
        ("identity", "", "operator-0"),
        ("log_level", "DEBUG", "DEBUG"),
        ("log_format", "text", "text"),
        ("http_address", ":9090", HttpAddress("", 9090)),
        ("http_address", "127.0.0.1:0", HttpAddress("127.0.0.1", 0)),
        ("http_address", "[::1]:80", HttpAddress("::1", 80)),
        ("kubeconfig", "/tmp/config", "/tmp/config"),  # noqa: S108 -- only a text here
    ],
)
def test_the_environment_is_read(
    name: str, text: str, value: object, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv(f"MILVUS_RBAC_{name.upper()}", text)
    assert getattr(Settings(), name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("namespaces", "Team A"),
        ("connection_namespaces", "a/b"),
        ("default_connection", "prod"),
        ("default_connection", "a/b/c"),
        ("default_connection", "/prod"),
        ("allowed_endpoints", "example.com"),
        ("allowed_endpoints", "https://example.com:19530"),
        ("log_level", "loud"),
        ("log_format", "xml"),
        ("http_address", "8080"),
        ("http_address", ":http"),
        ("http_address", ":65536"),
    ],
)
def test_nonsense_is_refused_with_the_name_of_the_setting(
    name: str, text: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv(f"MILVUS_RBAC_{name.upper()}", text)
    with pytest.raises(ValidationError, match=name):
        Settings()


def test_flags_win_over_the_environment(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MILVUS_RBAC_NAMESPACES", "team-a")
    settings = Settings.model_validate({"namespaces": "team-b", "http_address": "localhost:1"})
    assert settings.namespaces == ("team-b",)
    assert settings.http_address == HttpAddress("localhost", 1)


@pytest.mark.parametrize(
    ("endpoint", "allowed"),
    [
        ("a.milvus.svc:19530", True),
        ("A.Milvus.svc:19530", True),
        ("a.milvus.svc:19531", False),
        ("milvus.svc:19530", False),
        ("10.0.0.1:1", True),
        ("10.0.0.10:1", False),
    ],
)
def test_endpoints_are_compared_with_patterns(endpoint: str, allowed: bool) -> None:
    settings = Settings.model_validate({"allowed_endpoints": "*.milvus.svc:19530,10.0.0.1:*"})
    assert settings.allows_endpoint(endpoint) is allowed


def test_connections_count_only_where_they_are_allowed() -> None:
    settings = Settings.model_validate({"connection_namespaces": "milvus"})
    assert settings.allows_connections_in("milvus")
    assert not settings.allows_connections_in("team-a")


def test_every_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
