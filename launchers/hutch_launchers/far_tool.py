"""What methods that lead to another Linux share besides their words: their traits, options and calls."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import anyio

from hutch_launchers.front import PATH
from hutch_launchers.front_method import Traits
from hutch_launchers.launcher import Evidence, LauncherError
from hutch_launchers.spec import Guarantee

_CALL_S = 60.0
_LIMITS = (Guarantee.MEMORY, Guarantee.CPU, Guarantee.PIDS)
_MAX_PORT = 65535
_UNIT = "unit of systemd, over there"


def far_traits(boundary: str) -> Traits:
    """Of a program that is ssh or like it: streams pass, descriptors and environment do not."""
    return Traits(
        mechanisms={
            Guarantee.FILESYSTEM: f"{boundary}, mount namespace",
            Guarantee.NETWORK: f"{boundary}, network namespace",
            Guarantee.PROCESSES: f"{boundary}, PID namespace",
            Guarantee.DISK: "sizes of tmpfs",
            Guarantee.KERNEL: boundary,  # where the canaries see another kernel
        },
        abilities=frozenset(),
        has_short_words=True,  # systemd replaces variables in words
    )


def far_evidence(evidence: Mapping[Guarantee, Evidence]) -> Mapping[Guarantee, Evidence]:
    """What the canaries showed, with what holds the limits over there."""
    held = {one: evidence[one] for one in _LIMITS if evidence[one].held}
    return {**evidence, **{one: replace(shown, mechanism=_UNIT) for one, shown in held.items()}}


def checked_folders(folders: Sequence[str]) -> None:
    """Raise ValueError for what cannot be shown."""
    for folder in folders:
        if not Path(folder).is_absolute() or Path(folder) == Path("/") or ".." in Path(folder).parts:
            raise ValueError(f"'folders' are absolute paths, and not the root, not {folder!r}")


def checked_ports(option: str, ports: Sequence[str]) -> None:
    """Raise ValueError for what is no port."""
    for port in ports:
        if not port.isascii() or not port.isdigit() or not 1 <= int(port) <= _MAX_PORT:
            raise ValueError(f"{option!r} are ports from 1 to {_MAX_PORT}, as words, not {port!r}")


async def call(
    words: Sequence[str], *, within_s: float = _CALL_S, given: bytes = b"", may_fail: bool = False
) -> str:
    """What a program says. Raises LauncherError `method_unavailable`."""
    env = {"PATH": PATH, "HOME": str(Path.home()), "WSL_UTF8": "1"}  # wsl.exe speaks UTF-16 otherwise
    try:
        with anyio.fail_after(within_s):
            done = await anyio.run_process(words, env=env, input=given, check=False)
    except (OSError, TimeoutError) as error:
        raise LauncherError("method_unavailable", f"{words[0]}: {error!r}") from error
    if done.returncode != 0 and not may_fail:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()[-500:]
        raise LauncherError("method_unavailable", f"{Path(words[0]).name} {words[1]}: {said}")
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""
