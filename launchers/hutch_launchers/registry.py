"""The kinds of sandbox methods, by name; the only module that imports them all."""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hutch_launchers.launcher import Launcher
from hutch_launchers.methods.account.launcher import AccountLauncher
from hutch_launchers.methods.agent_launcher import AgentLauncherProgram
from hutch_launchers.methods.bubblewrap.launcher import BubblewrapLauncher
from hutch_launchers.methods.builtin import BuiltinLauncher
from hutch_launchers.methods.docker import DockerLauncher
from hutch_launchers.methods.firejail import FirejailLauncher
from hutch_launchers.methods.gvisor.launcher import GvisorLauncher
from hutch_launchers.methods.landlock import LandlockLauncher
from hutch_launchers.methods.lima.launcher import LimaLauncher
from hutch_launchers.methods.nsjail.launcher import NsjailLauncher
from hutch_launchers.methods.nspawn import NspawnLauncher
from hutch_launchers.methods.pid import PidLauncher
from hutch_launchers.methods.podman import PodmanLauncher
from hutch_launchers.methods.safehouse import SafehouseLauncher
from hutch_launchers.methods.wrapper import WrapperLauncher
from hutch_launchers.methods.wsl.launcher import WslLauncher

KINDS: Mapping[str, type[Any]] = {
    "account": AccountLauncher,
    "bubblewrap": BubblewrapLauncher,
    "builtin": BuiltinLauncher,
    "firejail": FirejailLauncher,
    "gvisor": GvisorLauncher,
    "landlock": LandlockLauncher,
    "launcher": AgentLauncherProgram,
    "lima": LimaLauncher,
    "docker": DockerLauncher,
    "nsjail": NsjailLauncher,
    "nspawn": NspawnLauncher,
    "pid": PidLauncher,
    "podman": PodmanLauncher,
    "safehouse": SafehouseLauncher,
    "wrapper": WrapperLauncher,
    "wsl": WslLauncher,
}

_PATHS = ("bwrap", "journals", "nsjail", "probe_cache", "runsc")  # options that are one path
_COUNTS, _MAX_COUNT = ("accounts", "online", "warm"), 64  # options that are a whole number


class OptionError(ValueError):
    """A method's options that make no method; the text is for a person."""


def build_launcher(kind: str, options: Mapping[str, Any] | None = None) -> Launcher:
    """Make a method of a kind from plain options, as a configuration file holds them. Raises OptionError."""
    if kind not in KINDS:
        raise OptionError(f"there is no method of the kind {kind!r}{_nearest(kind, KINDS)}")
    fields = {field.name for field in dataclasses.fields(KINDS[kind])}
    values: dict[str, Any] = {}
    for key, value in (options or {}).items():
        if key not in fields:
            raise OptionError(f"a method of the kind {kind!r} has no option {key!r}{_nearest(key, fields)}")
        values[key] = _plain(key, value)
    for field in dataclasses.fields(KINDS[kind]):
        if field.default is dataclasses.MISSING and field.name not in values:
            raise OptionError(f"a method of the kind {kind!r} needs the option {field.name!r}")
    try:
        launcher: Launcher = KINDS[kind](**values)
    except (TypeError, ValueError) as error:
        raise OptionError(f"a method of the kind {kind!r}: {error}") from error
    return launcher


def _plain(key: str, value: Any) -> Any:  # noqa: ANN401 - what a configuration file holds
    if key in _PATHS:
        if not isinstance(value, str | Path) or not Path(value).is_absolute():
            raise OptionError(f"{key!r} is to be an absolute path, not {value!r}")
        return Path(value)
    if key in _COUNTS:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_COUNT:
            raise OptionError(f"{key!r} is to be a number from 0 to {_MAX_COUNT}, not {value!r}")
        return value
    if isinstance(value, list):
        if not all(isinstance(word, str) for word in value):
            raise OptionError(f"{key!r} is to be a list of words, not {value!r}")
        return tuple(value)
    if not isinstance(value, str | tuple | Mapping):
        raise OptionError(f"{key!r} cannot be {value!r}")
    return value


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; do you mean {near[0]!r}?" if near else f"; known: {', '.join(sorted(known))}"
