"""A host that wants a secret, over TLS on loopback, and a daemon's configuration that gives sandboxes one."""

import base64
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from anyio.abc import ByteStream

from support.exchange_world import HOST, Talk, serve_tls

PLANTED = f"pl4nted-Zq7-{secrets.token_hex(12)}"  # of this process: others look for theirs at the same time


@dataclass(frozen=True)
class SecretHost:
    """How a daemon gets to it."""

    port: int
    authority: Path  # the certificate that proves it: SSL_CERT_FILE of the daemon

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}"

    def network(self, name: str) -> str:
        """A network to it and nobody else."""
        return f'[network.{name}]\nhost_services = ["{HOST}:{self.port}"]'

    def config(self, place: str = "header x-api-key", more: str = "") -> str:
        """A network to it, and the secret `key` for it."""
        return f"""
{self.network("near")}

[secrets.key]
from_env = "PLANTED"
hosts = ["{HOST}:{self.port}"]
place = "{place}"
env = "KEY"

[policy]
networks = ["near"]
secrets = ["key", "openai"]
{more}
"""

    @property
    def env(self) -> dict[str, str]:
        return {"SSL_CERT_FILE": str(self.authority), "PLANTED": PLANTED}


@asynccontextmanager
async def secret_host(folder: Path, server: Talk) -> AsyncIterator[SecretHost]:
    """Serve on loopback, and write down what proves it."""
    async with anyio.create_task_group() as tasks:
        port, certificate = await tasks.start(serve_tls, server)
        authority = folder / "authority.pem"
        authority.write_bytes(certificate)
        yield SecretHost(port, authority)
        tasks.cancel_scope.cancel()


@dataclass
class Relay:
    """Passes everything on to a server that speaks no TLS, and keeps what clients said."""

    address: str  # "host:port"
    said: bytes = b""

    async def __call__(self, stream: ByteStream) -> None:
        host, _, port = self.address.rpartition(":")
        async with await anyio.connect_tcp(host, int(port)) as server, anyio.create_task_group() as both:
            both.start_soon(self._pass, server, stream, both.cancel_scope)
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while data := await stream.receive():
                    self.said += data
                    await server.send(data)
            both.cancel_scope.cancel()

    async def _pass(self, source: ByteStream, sink: ByteStream, both: anyio.CancelScope) -> None:
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while data := await source.receive():
                await sink.send(data)
        both.cancel()


@dataclass
class Files:
    """Serves a folder to those who know the password, as git and package registries ask for it."""

    folder: Path
    pairs: list[str] = field(default_factory=list)  # what clients said of themselves

    async def __call__(self, stream: ByteStream) -> None:
        head = b""
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                while b"\r\n\r\n" not in head:
                    head += await stream.receive()
                asked, _, head = head.partition(b"\r\n\r\n")
                await stream.send(self._answer(asked.decode()))

    def _answer(self, asked: str) -> bytes:
        first, *lines = asked.split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        said = {name.lower(): value for name, value in headers.items()}.get("authorization", "")
        if not said:
            return (
                b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n'
            )
        self.pairs.append(base64.b64decode(said.removeprefix("Basic ")).decode())
        path = self.folder / first.split()[1].partition("?")[0].lstrip("/")
        body = path.read_bytes() if path.is_file() else b""
        status = "200 OK" if path.is_file() else "404 Not Found"
        return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
