"""Whether a mount with an upper folder works here: measured, with one small sandbox."""

import secrets
import stat
import tempfile
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path, PurePosixPath

import anyio

from hutch_launchers.launcher import LauncherError, SandboxProcess
from hutch_launchers.spec import Command, Limits, Mount, SandboxSpec

_AT = PurePosixPath("/workspace")
_PATIENCE_S = 10.0
_TRIAL = f"import os; os.unlink('{_AT}/gone'); open('{_AT}/new', 'w').close()"

Launch = Callable[[SandboxSpec], AbstractAsyncContextManager[SandboxProcess]]


async def has_overlay(launch: Launch, python: str, place: Path | None) -> bool:
    """Let a sandbox write over a folder in `place`, where the daemon keeps such things, and look after it."""
    with tempfile.TemporaryDirectory(prefix="hutch-overlay-", dir=place, ignore_cleanup_errors=True) as text:
        folder = Path(text)
        lower, upper, work = (folder / name for name in ("lower", "upper", "work"))
        for made in (lower, upper, work):
            made.mkdir()
        (lower / "gone").touch()
        command = Command((python, "-I", "-S", "-c", _TRIAL), PurePosixPath("/"), {"PATH": "/usr/bin:/bin"})
        mount = Mount(lower, _AT, upper=upper, work=work)
        name = "probe-" + secrets.token_hex(8)
        spec = SandboxSpec(name, command, (mount,), Limits(wall_s=_PATIENCE_S), None, frozenset())
        try:
            with anyio.fail_after(_PATIENCE_S):
                async with launch(spec) as process:
                    await process.wait()
        except (LauncherError, TimeoutError):
            return False
        finally:
            _open_up(work)
        kept = sorted(path.name for path in lower.iterdir())
        return kept == ["gone"] and (upper / "new").is_file() and _is_whiteout(upper / "gone")


def _is_whiteout(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _open_up(work: Path) -> None:
    """The kernel leaves a folder there that nobody may enter."""
    for inner in work.iterdir():
        inner.chmod(0o700)
