"""The command of a wish: its words, its environment, where it starts. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from hutch.errors import HutchError
from hutch.mounts import HOME, WORKSPACE, VolumeMount, inside
from hutch.policy.plan import Plan
from hutch.policy.wish import Wish
from hutch_launchers.spec import Command

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENV = {
    "HOME": str(HOME),
    "USER": "agent",
    "LOGNAME": "agent",
    "PATH": _PATH,
    "LANG": "C.UTF-8",
    "TERM": "dumb",
}
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_MAX_ARGUMENTS = 128 * 1024  # bytes of one argument: execve(2), MAX_ARG_STRLEN
_MAX_COMMAND = 1 << 20  # bytes of all arguments together with the environment, half of what execve takes
_SHOWN = 200  # characters of a command kept for a person's eyes


def read_command(wish: Wish, shell: str, volumes: Sequence[VolumeMount], *, has_workspace: bool) -> Command:
    """Raise HutchError `command_invalid`, `cwd_invalid`, `env_invalid`, or return what is to be started."""
    words = wish.command if wish.command is not None else ()
    argv = (shell, "-c", words) if isinstance(words, str) else tuple(words)
    env = _ENV | _checked_env(wish.env)
    if wish.command is not None and (not argv or not argv[-1 if isinstance(words, str) else 0].strip()):
        raise HutchError("command_invalid", "the command is empty")
    sizes = [len(word.encode()) for word in argv] + [len(n) + len(v.encode()) for n, v in env.items()]
    if max(sizes) >= _MAX_ARGUMENTS or sum(sizes) >= _MAX_COMMAND:
        raise HutchError(
            "command_invalid", "the command is too long", "put it into a file, or pass it on stdin"
        )
    if any("\0" in word for word in argv):
        raise HutchError("command_invalid", "the command holds a NUL character")
    default = WORKSPACE if has_workspace else volumes[0].target if volumes else HOME
    cwd = inside(wish.cwd, "cwd_invalid", "the working folder") if wish.cwd else default
    return Command(argv, cwd, env)


def shell_of(image: str | None, shell: str) -> str:
    """The shell that runs a line: the host's own, or the one that every image is to have."""
    return "/bin/sh" if image else shell


def _checked_env(env: Mapping[str, str]) -> dict[str, str]:
    for name, value in env.items():
        if not _ENV_NAME.fullmatch(name) or "\0" in value:
            raise HutchError(
                "env_invalid", f"{name!r} cannot be an environment variable", "names are A-Z, a-z, 0-9 and _"
            )
    return dict(env)


def command_for(wish: Wish, plan: Plan, shell: str) -> Command:
    """Return a further command for a kept sandbox that was opened under `plan`."""
    command = read_command(wish, shell_of(plan.image, shell), plan.volumes, has_workspace=False)
    return command if wish.cwd else replace(command, cwd=plan.command.cwd)


def shown(command: str | Sequence[str] | None) -> str:
    """Return a command in one short line for a person's eyes."""
    words = command if isinstance(command, str) else " ".join(command or ("(kept sandbox)",))
    line = " ".join(words.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"
