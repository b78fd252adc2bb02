"""The way to the API server: through a proxy, or past it."""

import pytest

from milvus_rbac.kube.proxy import find_proxy

PROXY = "http://proxy.example.com:3128"
SERVICE = "https://10.96.0.1:443"
NAMED = "https://kubernetes.default.svc:6443"
IPV6 = "https://[fd00:10::1]:6443"


@pytest.mark.parametrize(
    ("no_proxy", "url", "is_direct"),
    [
        ("", SERVICE, False),
        ("10.0.0.0/8,.svc", SERVICE, True),
        ("10.0.0.0/8,.svc", NAMED, True),
        (" 10.96.0.0/12 ", SERVICE, True),
        ("10.96.0.77/12", SERVICE, True),  # host bits may be set
        ("192.168.0.0/16", SERVICE, False),
        ("10.0.0.0/99", SERVICE, False),
        ("10.0.0.0/8", NAMED, False),  # names are not resolved
        ("fd00::/8", IPV6, True),
        ("fd00::/8", SERVICE, False),
        ("10.96.0.1", SERVICE, True),
        ("10.96.0.1:443", SERVICE, True),
        ("10.96.0.1:6443", SERVICE, False),
        ("10.96.0.10", SERVICE, False),
        ("0.96.0.1", SERVICE, False),  # no suffix of an address
        ("::ffff:10.96.0.1", SERVICE, True),
        ("fd00:10::1", IPV6, True),
        ("fd00:10:0:0:0:0:0:1", IPV6, True),
        ("[fd00:10::1]", IPV6, True),
        ("[fd00:10::1]:6443", IPV6, True),
        ("[fd00:10::1]:443", IPV6, False),
        ("*", SERVICE, True),
        ("example.com, *", NAMED, True),
        ("svc", NAMED, True),
        ("*.svc", NAMED, True),
        ("default.svc:6443", NAMED, True),
        ("default.svc:443", NAMED, False),
        ("kubernetes.default.svc", NAMED, True),
        (".kubernetes.default.svc", NAMED, False),  # a leading dot is for what is below
        ("Kubernetes.Default.SVC", NAMED, True),
        ("vc", NAMED, False),  # labels are whole
        (":6443", NAMED, False),
        (",", NAMED, False),
        ("10.96.0.1:443", "https://10.96.0.1", True),
    ],
)
def test_no_proxy_is_read_as_kubectl_reads_it(no_proxy: str, url: str, is_direct: bool) -> None:
    found = find_proxy(url, {"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy})
    assert found == (None if is_direct else PROXY)


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
    [
        ({}, SERVICE, None),
        ({"https_proxy": PROXY}, SERVICE, PROXY),
        ({"HTTPS_PROXY": "", "https_proxy": PROXY}, SERVICE, PROXY),
        ({"HTTPS_PROXY": PROXY, "https_proxy": "http://other"}, SERVICE, PROXY),
        ({"HTTPS_PROXY": PROXY, "no_proxy": "10.0.0.0/8"}, SERVICE, None),
        ({"HTTPS_PROXY": "proxy.example.com:3128"}, SERVICE, PROXY),
        ({"HTTP_PROXY": PROXY}, SERVICE, None),
        ({"HTTP_PROXY": PROXY}, "http://10.96.0.1:8080", PROXY),
        ({"ALL_PROXY": PROXY}, SERVICE, None),
        ({"HTTPS_PROXY": PROXY}, "https://127.0.0.1:6443", None),
        ({"HTTPS_PROXY": PROXY}, "https://127.8.0.1:6443", None),
        ({"HTTPS_PROXY": PROXY}, "https://localhost:6443", None),
        ({"HTTPS_PROXY": PROXY}, "https://[::1]:6443", None),
    ],
)
def test_the_proxy_of_the_scheme_is_taken(
    environment: dict[str, str], url: str, expected: str | None
) -> None:
    assert find_proxy(url, environment) == expected
