"""Where things are: the configuration's file, and the folders that it leaves to the host's conventions."""

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
