"""A server in a container, where Docker answers.

Most machines that have a Docker client and no engine would make its library wait or retry, and importing that library
costs more than asking: so the engine's socket is knocked at first, and testcontainers is imported only when somebody
opens.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

from sqlalchemy import URL

from lithair_sqla.embedded.backend import DRIVER
from lithair_sqla.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from testcontainers.postgres import PostgresContainer

    from lithair_sqla.embedded.request import Request

IMAGE = "postgres:18-alpine"
KNOCK_SECONDS = 1.0
_PORT = 5432
_DOCKER_PORTS = {"tcp": 2375, "http": 2375, "https": 2376}


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerServer:
    """A server in a container of its own, which goes when it is closed."""

    url: URL
    container: PostgresContainer

    def start(self) -> None:
        """Refuse."""
        self._refuse("started")

    def stop(self) -> None:
        """Refuse."""
        self._refuse("stopped")

    def kill(self) -> None:
        """Refuse."""
        self._refuse("killed")

    def close(self) -> None:
        """Remove the container with its data."""
        self.container.stop()

    def _refuse(self, verb: str) -> NoReturn:
        raise EmbeddedPostgresError(
            f"a server in a container cannot be {verb} and keep its port: use source='system' or source='wheel'"
        )


def open_container(request: Request) -> ContainerServer:
    """Start a server in a container.

    Raises:
        EmbeddedPostgresError: testcontainers is not installed, no engine answers, or the container does not come up.
    """
    if find_spec("testcontainers") is None:
        raise EmbeddedPostgresError("the package testcontainers is not installed")
    knock()
    from docker.errors import DockerException  # noqa: PLC0415 - half a second, which only an engine is worth
    from testcontainers.postgres import PostgresContainer  # noqa: PLC0415

    try:
        container = PostgresContainer(IMAGE, driver=None).with_command(["postgres", *request.server_arguments()])
        container.start()
        url = URL.create(
            DRIVER,
            username=container.username,
            password=container.password,
            host=container.get_container_host_ip(),
            port=int(container.get_exposed_port(_PORT)),
            database=container.dbname,
        )
    except (DockerException, OSError, TimeoutError) as error:
        raise EmbeddedPostgresError(f"the container of {IMAGE} did not start: {error}") from error
    return ContainerServer(url=url, container=container)


def knock() -> None:
    """Find out within a second whether a Docker engine is there.

    Raises:
        EmbeddedPostgresError: nobody listens; the places are given.
    """
    named = os.environ.get("DOCKER_HOST")
    places = [named] if named else [f"unix://{path}" for path in _usual_sockets()]
    reasons = []
    for place in places:
        try:
            _knock_at(place)
        except OSError as error:
            reasons.append(f"{place}: {error.strerror or error}")
        else:
            return
    raise EmbeddedPostgresError("no Docker engine answers (" + "; ".join(reasons) + ")")


def _usual_sockets() -> list[Path]:
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}")
    return [
        Path("/var/run/docker.sock"),
        Path(runtime) / "docker.sock",
        Path.home() / ".docker/run/docker.sock",
        Path.home() / ".docker/desktop/docker.sock",
    ]


def _knock_at(place: str) -> None:
    """Ask for the engine's sign of life; raise OSError where none comes."""
    parts = urlsplit(place)
    if parts.scheme == "unix":
        with socket.socket(socket.AF_UNIX) as knocking:
            knocking.settimeout(KNOCK_SECONDS)
            knocking.connect(parts.path)
            _ping(knocking)
    elif parts.scheme in _DOCKER_PORTS and parts.hostname:
        address = (parts.hostname, parts.port or _DOCKER_PORTS[parts.scheme])
        with socket.create_connection(address, timeout=KNOCK_SECONDS) as knocking:
            if parts.scheme != "https" and not os.environ.get("DOCKER_TLS_VERIFY"):
                _ping(knocking)
    # Another scheme (ssh://) is left to Docker's own library.


def _ping(connection: socket.socket) -> None:
    connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
    if not connection.recv(16).startswith(b"HTTP/"):
        raise OSError("what listens there is not Docker")
