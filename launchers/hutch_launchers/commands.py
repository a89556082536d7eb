"""What a command and a run's name must be."""

import re

from hutch_launchers.launcher import LauncherError
from hutch_launchers.spec import Command

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)


def check_run_id(run_id: str) -> None:
    """Raise LauncherError `command_invalid` for a name that cannot be a folder's and a variable's value."""
    if not _RUN_ID.fullmatch(run_id):
        raise LauncherError("command_invalid", f"the run id {run_id!r} is not 1 to 128 of A-Z a-z 0-9 . _ -")


def check_command(command: Command) -> None:
    """Raise LauncherError `command_invalid` for a command that no kernel could start as it stands."""
    problem = ""
    if not command.argv or not command.argv[0]:
        problem = "it has no words"
    elif any("\0" in word for word in (*command.argv, *command.env, *command.env.values(), str(command.cwd))):
        problem = "a word, its working folder or its environment holds a NUL"
    elif any(not name or "=" in name for name in command.env):
        problem = "a name in its environment is empty or holds '='"
    elif not command.cwd.is_absolute():
        problem = f"its working folder {str(command.cwd)!r} is not absolute"
    if problem:
        raise LauncherError("command_invalid", f"the command cannot be started: {problem}")
