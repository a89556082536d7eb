"""Where things are: the configuration's file, and the folders that it leaves to the host's conventions."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hutch.config.records import Daemon
from hutch.errors import HutchError

SYSTEM_FILE = Path("/etc/hutch/config.toml")

_UNSAID = Path()


def find(env: Mapping[str, str], *, is_root: bool) -> Path | None:
    """The file to read: $HUTCH_CONFIG, else the user's own, else (for root) the host's; None: no file."""
    if named := env.get("HUTCH_CONFIG"):
        return Path(named)
    candidates = [own_file(env)]
    if is_root:
        candidates.append(SYSTEM_FILE)
    return next((file for file in candidates if _may_exist(file)), None)


def own_file(env: Mapping[str, str]) -> Path:
    """The user's own configuration, whether there is one or not."""
    return _base(env, "XDG_CONFIG_HOME", ".config") / "hutch" / "config.toml"


def expand_home(value: object, env: Mapping[str, str]) -> object:
    """Every string that is "~" or begins with "~/" is in the owner's home."""
    if isinstance(value, dict):
        return {name: expand_home(item, env) for name, item in value.items()}
    if isinstance(value, list):
        return [expand_home(item, env) for item in value]
    if isinstance(value, str) and (value == "~" or value.startswith("~/")):
        return str(_home(env) / value[2:])
    return value


def place(daemon: Daemon, env: Mapping[str, str]) -> Daemon:
    """`daemon` with the folders and the socket that its owner left open, by the XDG conventions."""
    state = _said(daemon.state) or _base(env, "XDG_STATE_HOME", ".local/state") / "hutch"
    runtime = _absolute(env, "XDG_RUNTIME_DIR")
    return replace(
        daemon,
        state=state,
        cache=_said(daemon.cache) or _base(env, "XDG_CACHE_HOME", ".cache") / "hutch",
        socket=_said(daemon.socket) or (runtime / "hutch" if runtime else state) / "hutch.sock",
    )


def own_folder(folder: Path) -> Path:
    """Make a folder that the daemon keeps things in, or take the one that is there; return it.

    Whoever may change it could have put a token of their choice there, or a link in the place of the log.
    Raises HutchError `folder_unsafe`.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = folder.stat()
    if status.st_uid not in (0, os.geteuid()):
        why, fix = f"is that of user {status.st_uid}", "name another, or run as that user"
    elif status.st_mode & 0o002:
        why, fix = "can be changed by everybody", f"see what is in it, then: chmod o-w {folder}"
    else:
        return folder
    raise HutchError("folder_unsafe", f"{folder} {why}", fix)


def assert_nobody_elses(socket: Path, state: Path) -> None:
    """Raise HutchError `folder_unsafe` if a stranger may listen there: what listens is given the token.

    It is root's, ours, or that of whoever has the state.
    """
    trusted = {0, os.geteuid(), *_owner(state)}
    for path in (socket.parent, socket):
        if strangers := _owner(path) - trusted:
            hint = "name another place in daemon.socket, where nobody else writes"
            raise HutchError("folder_unsafe", f"{path} is that of user {min(strangers)}", hint)


def _owner(path: Path) -> set[int]:
    try:
        return {path.stat().st_uid}
    except OSError:
        return set()  # there is none, or none that we could use


def _may_exist(file: Path) -> bool:
    try:
        return file.exists()
    except OSError:
        return True  # reading it will say what is wrong; passing over it would drop the owner's policy


def _said(path: Path) -> Path | None:
    return None if path == _UNSAID else path


def _base(env: Mapping[str, str], variable: str, beneath_home: str) -> Path:
    return _absolute(env, variable) or _home(env) / beneath_home


def _absolute(env: Mapping[str, str], variable: str) -> Path | None:
    """A base directory of the XDG specification, which says that a relative one is to be ignored."""
    path = Path(env.get(variable, ""))
    return path if path.is_absolute() else None


def _home(env: Mapping[str, str]) -> Path:
    home = _absolute(env, "HOME")
    if home is None:
        raise HutchError(
            "config_invalid",
            "HOME is not set",
            "set HOME, or XDG_STATE_HOME, XDG_CACHE_HOME and XDG_CONFIG_HOME",
        )
    return home
