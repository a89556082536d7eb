"""Sandboxes whose only way out is what a test grants, to the stand-in for the internet."""

import json
import os
from pathlib import Path, PurePosixPath
from typing import Any

from hutch.egress import Connection, InForce, Network, Resolver, open_ways, proxy_variables
from hutch_launchers.launcher import Launcher
from hutch_launchers.spec import Command, Limits, Mount, SandboxSpec
from support.networks import network
from support.public_net import PublicNet

CA = "/opt/ca.pem"
TRUST = {
    **dict.fromkeys(("SSL_CERT_FILE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS"), CA),
    **dict.fromkeys(("PIP_CERT", "npm_config_cafile", "REQUESTS_CA_BUNDLE"), CA),
}
LIMITS = Limits(wall_s=150, memory_bytes=2 << 30, pids=128, cpus=2.0, disk_bytes=256 << 20)
GRANTED = network("api.example.org", "api.example.org:80", "*.cdn.example.org", "*.cdn.example.org:80")


class Sandboxes:
    """Runs commands whose only way out is `granted`; keeps the log."""

    def __init__(
        self,
        launcher: Launcher,
        net: PublicNet,
        tmp_path: Path,
        granted: Network = GRANTED,
        mounts: tuple[Mount, ...] = (),
    ) -> None:
        self.launcher = launcher
        self.net = net
        self.folder = tmp_path / "way"
        self.folder.mkdir()
        self.granted = granted
        self.mounts = mounts
        self.force = InForce(granted)
        self.log: list[Connection] = []

    async def run(self, *argv: str, proxies: bool = False) -> str:
        """What it says, on both streams."""
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", **TRUST}
        if proxies:
            env |= proxy_variables(self.granted)
        shown = (Mount(self.net.ca, PurePosixPath(CA)), *self.mounts)
        command = Command(("/bin/sh", "-c", 'exec 2>&1; exec "$@"', "sh", *argv), PurePosixPath("/tmp"), env)
        resolver = Resolver(self.net.ask, self.net.dial)
        async with open_ways(self.force, "r", self.folder, self.log.append, resolver=resolver) as endpoint:
            spec = SandboxSpec(f"test-{os.urandom(6).hex()}", command, shown, LIMITS, endpoint, frozenset())
            async with self.launcher.launch(spec) as process:
                await process.stdin.aclose()
                return b"".join([chunk async for chunk in process.stdout]).decode(errors="replace")

    async def shell(self, script: str, *, proxies: bool = False) -> list[str]:
        return (await self.run("bash", "-c", script, proxies=proxies)).splitlines()

    def refused(self) -> set[tuple[str, int, str]]:
        return {(c.host, c.port, str(c.refused)) for c in self.log if c.refused}


TRY = """
import json, socket, struct, sys
def ask(data, host="127.0.0.1", port=3128, kind=socket.SOCK_STREAM):
    try:
        with socket.socket(socket.AF_INET, kind) as s:
            s.settimeout(60)
            s.connect((host, port))
            s.sendall(data)
            if kind == socket.SOCK_STREAM:
                s.shutdown(socket.SHUT_WR)
            got = b""
            while piece := s.recv(65536):
                got += piece
                if kind == socket.SOCK_DGRAM or got[:1] in (b"\\5", b"\\0"):
                    break
            return got.decode("latin-1")
    except OSError as error:
        return "OSError: " + str(error)
"""


async def run_tries(boxes: Sandboxes, tries: str) -> dict[str, Any]:
    out = await boxes.run("/usr/bin/python3", "-I", "-S", "-c", TRY + tries + "\nprint(json.dumps(seen))")
    last = out.splitlines()[-1]
    assert last.startswith("{"), out
    found: dict[str, Any] = json.loads(last)
    return found
