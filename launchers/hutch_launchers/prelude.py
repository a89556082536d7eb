"""What stands in front of a command: a small shell, told folder and environment by standard input.

So they are in no argv, and never in the environment of the program that makes the sandbox. There must be a
POSIX shell inside, and what makes the sandbox must pass standard input on.
"""

import os
import re
import secrets
import shlex
from collections.abc import Sequence
from pathlib import PurePosixPath

from hutch_launchers.commands import check_command
from hutch_launchers.launcher import LauncherError
from hutch_launchers.spec import Command
from hutch_launchers.system_view import HOME

# A shell reads a pipe byte by byte, so what follows the last line is left to the command.
_READ = 'while IFS= read -r _hutch_line && [ -n "$_hutch_line" ]; do eval "$_hutch_line" || exit 126; done; '
_GREET = 'printf %s "$1"; shift; '  # the sandbox is made: nothing else tells it of every program
_BECOME = 'exec "$@"'
# The first process of a PID namespace takes no signal, and must wait for orphans
_STAY = '(exec "$@"); exit $?'
_GATE = 'read -r _hutch_line && exec "$@"'  # the front program starts when its limits are set
OPEN = b"\n"  # what opens the gate

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_MAX_WORD = 128 << 10  # MAX_ARG_STRLEN of linux/binfmts.h
_MAX_PRELUDE = 1 << 20  # bytes; the largest pipe that an ordinary user may have


def held(argv: Sequence[str]) -> list[str]:
    """A program that starts when it is told `OPEN`."""
    return ["/bin/sh", "-c", _GATE, "hutch", *argv]


def new_greeting() -> str:
    """A word that nobody else says."""
    return f"hutch-{secrets.token_hex(8)}"


def shell(argv: Sequence[str], greeting: str | None = None, *, stays: bool = False) -> list[str]:
    """The words of the shell that becomes the command, or stays in front; it says the `greeting` first."""
    script = _READ + (_STAY if stays else _BECOME)
    if greeting is None:
        return ["/bin/sh", "-c", script, "hutch", *argv]
    return ["/bin/sh", "-c", _GREET + script, "hutch", greeting, *argv]


def stayed(argv: Sequence[str]) -> list[str]:
    """A shell that stays in front of a program for as long as it runs."""
    return ["/bin/sh", "-c", _STAY, "hutch", *argv]


def command_prelude(command: Command, *, with_words: bool = False, without: Sequence[str] = ()) -> bytes:
    """The lines that make a shell ready to become the command. Raises LauncherError `command_invalid`.

    `with_words`: the shell has been given none, and gets the command's here. `without`: variables that the
    front program adds.
    """
    check_command(command)
    if bad := [name for name in command.env if not _NAME.fullmatch(name)]:
        raise LauncherError("command_invalid", f"a shell cannot set the variable {bad[0]!r}")
    lines = [_enter(command.cwd), "_hutch_newline=$(printf '\\nx')"]
    lines += ["_hutch_newline=${_hutch_newline%x}", " ".join(("unset PATH PWD OLDPWD", *without))]
    lines += [f"export {name}={_quote(value)}" for name, value in command.env.items()]
    if with_words:
        if any(len(os.fsencode(word)) >= _MAX_WORD for word in command.argv):
            raise LauncherError("command_invalid", "a word of the command is longer than the kernel takes")
        lines.append(f"set -- {' '.join(map(_quote, command.argv))}")
    prelude = "".join(line + "\n" for line in [*lines, ""]).encode(errors="surrogateescape")
    if len(prelude) > _MAX_PRELUDE:
        raise LauncherError("command_invalid", "the command and its environment are larger than 1 MiB")
    return prelude


def _quote(text: str) -> str:
    """As one shell word on one line."""
    return '"$_hutch_newline"'.join(shlex.quote(part) for part in text.split("\n"))


def _enter(folder: PurePosixPath) -> str:
    """The home is where a command starts for which no folder was asked, and a wrapper may not have it."""
    if folder == PurePosixPath(HOME):
        return f"cd -- {_quote(HOME)} 2>/dev/null || cd /tmp || exit 126"
    return f"cd -- {_quote(str(folder))} || exit 126"
