"""What a command must be to arrive in a sandbox as it is."""

from hutch_launchers.launcher import LauncherError
from hutch_launchers.spec import Command


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
