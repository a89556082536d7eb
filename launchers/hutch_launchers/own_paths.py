"""For methods without mounts: a path inside is mapped to where it is on the host.

Mapped are a command's working folder and those values of its environment that are a path, or a list of paths,
at or below a mount's target, the home or `/tmp`. These two are folders of the run, removed with it.
"""

import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from hutch_launchers.commands import check_run_id
from hutch_launchers.launcher import LauncherError
from hutch_launchers.spec import Command, Mount
from hutch_launchers.system_view import HOME

_TEMPORARY = PurePosixPath("/tmp")  # as a command knows it
_PREFIX = "hutch-run-"


@dataclass(frozen=True, slots=True)
class OwnPaths:
    """Where the paths of one run are on the host."""

    folder: Path  # of the run
    mounts: Sequence[Mount]

    @property
    def run_id(self) -> str:
        return self.folder.name.removeprefix(_PREFIX)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    def command(self, command: Command) -> Command:
        """The command with its paths as they are here, and with `TMPDIR` if it names none."""
        env = {"TMPDIR": str(_TEMPORARY), **command.env}
        mapped = {name: ":".join(map(self._word, value.split(":"))) for name, value in env.items()}
        return replace(command, cwd=self._path(command.cwd), env=mapped)

    def words(self, argv: Sequence[str]) -> tuple[str, ...]:
        """Words of ours, each that is a path inside as it is here."""
        return tuple(map(self._word, argv))

    def _word(self, word: str) -> str:
        if not word.startswith("/"):
            return word
        path = PurePosixPath(word)
        mapped = self._path(path)
        return word if mapped == path else str(mapped)

    def _path(self, path: PurePosixPath) -> PurePosixPath:
        private = ((_TEMPORARY, self.temporary), (PurePosixPath(HOME), self.home))
        places = [*private, *((mount.target, mount.source) for mount in self.mounts)]
        for target, source in reversed(places):  # later mounts cover earlier ones
            if path.is_relative_to(target):
                return PurePosixPath(source) / path.relative_to(target)
        return path


def refuse_protected(method: str, mounts: Sequence[Mount]) -> None:
    """Raise LauncherError for what only a mount can keep as it is: a folder inside a writable one."""
    writable = [mount.source.resolve() for mount in mounts if mount.writable]
    for mount in mounts:
        source = mount.source.resolve()
        if not mount.writable and any(source.is_relative_to(above) for above in writable):
            raise LauncherError(
                "guarantee_missing",
                f"{method} cannot keep {mount.source} as it is: it is inside a writable folder",
                "choose a method that has mounts of its own, as bubblewrap",
            )


def make_own_paths(run_id: str, mounts: Sequence[Mount]) -> OwnPaths:
    """Make the run's folder. Raises LauncherError `sandbox_failed`, `command_invalid`."""
    check_run_id(run_id)
    own = OwnPaths(_folder(run_id), mounts)
    try:
        for folder in (own.folder, own.home, own.temporary):
            folder.mkdir(mode=0o700)
    except OSError as error:
        raise LauncherError("sandbox_failed", f"no folder could be made for the run: {error}") from error
    return own


def remove_run_folder(run_id: str) -> bool:
    """Remove what the run had as home and `/tmp`; whether there was something. Blocks."""
    folder = _folder(run_id)
    try:
        if folder.lstat().st_uid != os.geteuid() or folder.is_symlink():
            return False
    except FileNotFoundError:
        return False
    for parent, names, _ in os.walk(folder):  # a folder that nobody may enter cannot be emptied
        for name in names:
            with suppress(OSError):
                if not (path := Path(parent, name)).is_symlink():
                    path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
    return True


def _folder(run_id: str) -> Path:
    return Path(tempfile.gettempdir(), _PREFIX + run_id)
