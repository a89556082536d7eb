"""A host that wants a secret, over TLS on loopback, and a daemon's configuration that gives sandboxes one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio

from support.exchange_world import HOST, Server, serve_tls

PLANTED = "pl4nted-s3cret-Zq7vKx29Lm"


@dataclass(frozen=True)
class SecretHost:
    """What it was asked, and how a daemon gets there."""

    server: Server
    port: int
    authority: Path  # the certificate that proves it: SSL_CERT_FILE of the daemon

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}"

    def config(self, place: str = "header x-api-key", more: str = "") -> str:
        return f"""
[network.near]
host_services = ["{HOST}:{self.port}"]

[policy]
networks = ["near"]
secrets = ["key"]

[secrets.key]
from_env = "PLANTED"
hosts = ["{HOST}:{self.port}"]
place = "{place}"
env = "KEY"
{more}
"""

    @property
    def env(self) -> dict[str, str]:
        return {"SSL_CERT_FILE": str(self.authority), "PLANTED": PLANTED}


@asynccontextmanager
async def secret_host(folder: Path, server: Server | None = None) -> AsyncIterator[SecretHost]:
    server = server or Server(headers=[("Content-Length", "5")])
    async with anyio.create_task_group() as tasks:
        port, certificate = await tasks.start(serve_tls, server)
        authority = folder / "authority.pem"
        authority.write_bytes(certificate)
        yield SecretHost(server, port, authority)
        tasks.cancel_scope.cancel()
