"""The dedicated accounts: made by an explicit command, told by name and comment, taken away by another."""

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hutch_launchers.front import PATH
from hutch_launchers.launcher import LauncherError

_COMMENT = "Hutch sandbox account"  # by which one that we made is told from one that merely has the name
_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Account:
    """One of the host's accounts that is ours alone."""

    name: str
    uid: int
    gid: int


def find_accounts(prefix: str) -> tuple[Account, ...]:
    """Those that are there, in order."""
    wanted = re.compile(rf"{re.escape(prefix)}-offline-(\d+)", re.ASCII)
    found = []
    for entry in pwd.getpwall():
        named = wanted.fullmatch(entry.pw_name)
        if named and entry.pw_gecos == _COMMENT and entry.pw_uid != 0:
            found.append((int(named[1]), Account(entry.pw_name, entry.pw_uid, entry.pw_gid)))
    return tuple(account for _, account in sorted(found))


def make_accounts(prefix: str, count: int, journals: Path) -> tuple[str, ...]:
    """Make what is missing of `count` accounts, and the folder of journals. Says what was done. Idempotent.

    Raises LauncherError `method_unavailable`.
    """
    _require_root()
    done = []
    if not journals.is_dir():
        journals.mkdir(parents=True, mode=0o700)
        done.append(f"made the folder {journals}")
    known = {account.name for account in find_accounts(prefix)}
    for name in (f"{prefix}-offline-{number}" for number in range(count)):
        if name not in known:
            _run(_useradd(name))
            done.append(f"made the account {name}")
    return tuple(done)


def remove_accounts(prefix: str, journals: Path) -> tuple[str, ...]:
    """Undo `make_accounts`; no run may have one of them. Says what was done. Idempotent."""
    _require_root()
    done = []
    for account in find_accounts(prefix):
        if (journals / f"{account.name}.json").exists():
            raise LauncherError(
                "method_unavailable",
                f"the account {account.name} is in use by a run, or was and is not cleaned up yet",
                "end the run (hutch stop), or start the daemon once: it cleans up what it left",
            )
        _run(["userdel", account.name])
        (journals / f"{account.name}.lock").unlink(missing_ok=True)
        done.append(f"removed the account {account.name}")
    if journals.is_dir() and not any(journals.iterdir()):
        journals.rmdir()
        done.append(f"removed the folder {journals}")
    return tuple(done)


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
