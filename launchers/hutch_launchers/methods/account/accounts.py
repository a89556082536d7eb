"""The dedicated accounts: made by an explicit command, told by name and comment, taken away by another.

One that is being made or removed is noted: what a kill leaves of it, a group without its user or a user
without its group, is told from somebody else's by that note, and the next command mends it.
"""

import grp
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hutch_launchers.front import PATH
from hutch_launchers.launcher import LauncherError

OFFLINE, ONLINE = "offline", "online"
_COMMENT = "Hutch sandbox account"  # by which one that we made is told from one that merely has the name
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Account:
    """One of the host's accounts that is ours alone."""

    name: str
    uid: int
    gid: int
    kind: str = OFFLINE

    @property
    def is_whole(self) -> bool:
        """Whether it has a group of its own."""
        with suppress(KeyError):
            return grp.getgrgid(self.gid).gr_name == self.name
        return False


def find_accounts(prefix: str) -> tuple[Account, ...]:
    """Those that are there, in order."""
    wanted = re.compile(rf"{re.escape(prefix)}-({OFFLINE}|{ONLINE})-(\d+)", re.ASCII)
    found = []
    for entry in pwd.getpwall():
        named = wanted.fullmatch(entry.pw_name)
        if named and entry.pw_gecos == _COMMENT and entry.pw_uid != 0:
            account = Account(entry.pw_name, entry.pw_uid, entry.pw_gid, named[1])
            found.append((named[1], int(named[2]), account))
    return tuple(account for *_, account in sorted(found, key=lambda one: one[:2]))


def make_accounts(prefix: str, counts: Mapping[str, int], journals: Path) -> tuple[str, ...]:
    """Make what is missing of so many accounts of each kind, and the folder of journals. Idempotent.

    Says what was done. Raises LauncherError `method_unavailable`.
    """
    _require_root()
    done = []
    if not journals.is_dir():
        journals.mkdir(parents=True, mode=0o700)
        done.append(f"made the folder {journals}")
    done += _mend(prefix, journals)
    known = {account.name for account in find_accounts(prefix)}
    for name in (f"{prefix}-{kind}-{number}" for kind, count in counts.items() for number in range(count)):
        if name not in known:
            _refuse_foreign(name)
            with _noted(journals, name):
                _run(_useradd(name))
            done.append(f"made the account {name}")
    return tuple(done)


def remove_accounts(prefix: str, journals: Path) -> tuple[str, ...]:
    """Undo `make_accounts`; no run may have one of them. Says what was done. Idempotent."""
    _require_root()
    done = _mend(prefix, journals)
    for account in find_accounts(prefix):
        if (journals / f"{account.name}.json").exists():
            raise LauncherError(
                "method_unavailable",
                f"the account {account.name} is in use by a run, or was and is not cleaned up yet",
                "end the run (hutch stop), or start the daemon once: it cleans up what it left",
            )
        (journals / f"{account.name}.lock").unlink(missing_ok=True)
        with _noted(journals, account.name):
            _run(["userdel", account.name])
        done.append(f"removed the account {account.name}")
    if journals.is_dir() and not any(journals.iterdir()):
        journals.rmdir()
        done.append(f"removed the folder {journals}")
    return tuple(done)


@contextmanager
def _noted(journals: Path, name: str) -> Iterator[None]:
    note = journals / f"{name}.half"
    note.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    note.touch()
    yield
    note.unlink()


def _mend(prefix: str, journals: Path) -> list[str]:
    """Take away what is half there of accounts that were noted."""
    done = []
    for note in sorted(journals.glob(f"{prefix}-*.half")):
        name = note.stem
        account = next((one for one in find_accounts(prefix) if one.name == name), None)
        if account is None or not account.is_whole:
            if account:
                _run(["userdel", name])
            if name in {group.gr_name for group in grp.getgrall()}:
                _run(["groupdel", name])
            done.append(f"took away what was half made or half removed of the account {name}")
        note.unlink()
    return done


def _refuse_foreign(name: str) -> None:
    names = {entry.pw_name for entry in pwd.getpwall()} | {group.gr_name for group in grp.getgrall()}
    if name in names:
        raise LauncherError(
            "method_unavailable",
            f"there is an account or a group called {name} that Hutch did not make",
            "choose another `prefix` for the method's accounts",
        )


def _useradd(name: str) -> Sequence[str]:
    return [
        "useradd", "--system", "--user-group", "--no-create-home", "--no-log-init",
        "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", "--comment", _COMMENT, name,
    ]  # fmt: skip


def _run(words: Sequence[str]) -> None:
    program = shutil.which(words[0], path=PATH)
    if program is None:
        raise LauncherError("method_unavailable", f"{words[0]} is not installed", "apt install passwd")
    done = subprocess.Popen(
        [program, *words[1:]], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    _, complaint = done.communicate(timeout=_PATIENCE_S)
    if done.returncode != 0:
        said = complaint.decode(errors="replace").strip()[:300]
        raise LauncherError("method_unavailable", f"{words[0]} failed: {said}")


def _require_root() -> None:
    if os.geteuid() != 0:
        raise LauncherError(
            "method_unavailable",
            "only root may make or remove accounts",
            "run it by sudo, once for this host",
        )
