"""No server of a test can be reached from another machine. That it holds for each test is looked at in conftest.py."""

import os
import subprocess
import sys

import pytest

from testbed.network_namespace import is_available

CODE = """
import socket
from support.listeners import Listeners, own_processes
from testbed.network_namespace import enter

enter()  # where a listener on every interface is reached by nobody
server = socket.create_server(({host!r}, 0), family=socket.{family})
print(server.getsockname()[1], *Listeners(own_processes).exposed(), sep="\\n")
"""


@pytest.mark.skipif(not is_available(), reason="this machine has no network namespaces")
@pytest.mark.parametrize(
    ("host", "family", "named"),
    [
        pytest.param("0.0.0.0", "AF_INET", "0.0.0.0", id="every IPv4 interface"),  # noqa: S104 - in a namespace
        pytest.param("::", "AF_INET6", "::", id="every interface"),
        pytest.param("127.0.0.1", "AF_INET", None, id="loopback"),
        pytest.param("127.8.0.1", "AF_INET", None, id="loopback, another address"),
        pytest.param("::1", "AF_INET6", None, id="loopback of IPv6"),
    ],
)
def test_a_listener_beyond_the_loopback_interface_is_found(host: str, family: str, named: str | None) -> None:
    code = CODE.format(host=host, family=family)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    port, *found = done.stdout.splitlines()
    if named is None:
        assert found == []
    else:
        (one,) = found
        assert one.startswith(f"{named} port {port} of process ")
