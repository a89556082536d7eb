"""An account lent to one run: nobody else has it meanwhile, and it is given back as it was.

One account, one run: two runs under one account could signal and read each other, whatever else is between
them.

The lock is held by the daemon's process and goes with it; the journal is on disk before anything is granted
and is removed when everything is withdrawn. So what a dead daemon left is found under a journal whose lock
is free. All of it blocks.
"""

import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hutch_launchers import proc
from hutch_launchers.launcher import LauncherError
from hutch_launchers.methods.account import firewall
from hutch_launchers.methods.account.accounts import Account
from hutch_launchers.methods.account.firewall import Opening
from hutch_launchers.methods.account.grants import Grantee, grant, withdraw
from hutch_launchers.own_paths import remove_run_folder
from hutch_launchers.spec import Mount

_DEATH_S = 10.0  # from SIGKILL to the end of all
_LOOK_S = 0.01
_COMMON = ("/tmp", "/var/tmp", "/dev/shm")  # where anybody may leave files, for the next to find


@dataclass(frozen=True, slots=True)
class Lending:
    """An account that this process holds, by its lock."""

    account: Account
    pool: Collection[int]
    journals: Path
    lock: int

    def prepare(self, run_id: str, mounts: Sequence[Mount], openings: Sequence[Opening] = ()) -> None:
        """Write down what is to be granted, shut the network but for openings, and grant it.

        Raises LauncherError.
        """
        grantee = Grantee(self.account.uid, self.pool)
        _write(self._journal, {"run_id": run_id, "sources": [str(mount.source) for mount in mounts]})
        firewall.apply(firewall.shut_rules(self.account.uid, openings))
        grant(mounts, grantee)

    def give_back(self) -> bool:
        """End all of the account, take back what it has, and let others have it; whether it had something.

        Raises LauncherError when it cannot be done: the account then stays out of use until it can be.
        """
        try:
            return clean(self.account, self.pool, self._journal)
        finally:
            os.close(self.lock)

    @property
    def _journal(self) -> Path:
        return self.journals / f"{self.account.name}.json"


def lend(accounts: Sequence[Account], kind: str, journals: Path) -> Lending:
    """The first free account of a kind, as clean as new. Raises LauncherError `method_unavailable`."""
    pool = frozenset(account.uid for account in accounts)
    problem = ""
    wanted = [account for account in accounts if account.kind == kind]
    for account in wanted:
        if (held := _hold(account, pool, journals)) is None:
            continue
        try:
            clean(account, pool, journals / f"{account.name}.json")
        except LauncherError as error:
            os.close(held.lock)
            problem = error.message
        else:
            return held
    raise LauncherError(
        "method_unavailable",
        problem or f"all {len(wanted)} {kind} accounts are in use, each by one run",
        "wait for a run to end, or make more: hutch method setup NAME, with a larger `accounts` or `online`",
    )


def reap(accounts: Sequence[Account], journals: Path, run_id: str) -> bool:
    """Clean up what a dead daemon left of a run; whether there was something."""
    pool = frozenset(account.uid for account in accounts)
    for account in accounts:
        if _read(journals / f"{account.name}.json").get("run_id") == run_id:
            held = _hold(account, pool, journals)
            return held is not None and held.give_back()
    return False


def clean(account: Account, pool: Collection[int], journal: Path) -> bool:
    """Leave nothing of an account's run. Idempotent. Raises LauncherError, and the journal stays then."""
    noted = _read(journal)
    was_alive = _end_all(account)
    if not noted and not was_alive:
        return False
    for folder in _COMMON:
        _remove_files_of(account.uid, Path(folder))
    try:
        withdraw([Path(source) for source in noted.get("sources", ())], account.uid, pool)
    except (OSError, RecursionError) as error:
        raise LauncherError(
            "sandbox_failed",
            f"what {account.name} was granted cannot be taken back: {error}",
            "see: hutch doctor",
        ) from error
    firewall.apply(firewall.open_rules(account.uid))
    if run_id := noted.get("run_id"):
        remove_run_folder(str(run_id))
    journal.unlink(missing_ok=True)
    return True


def _hold(account: Account, pool: Collection[int], journals: Path) -> Lending | None:
    try:
        lock = os.open(journals / f"{account.name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LauncherError(
            "method_unavailable", f"{journals}: {error.strerror}", "as root: hutch method setup NAME"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return Lending(account, pool, journals, lock)


def _end_all(account: Account) -> bool:
    """Kill every process of the account and return when all have ended; whether there was one.

    By the account itself, whose kill(-1) the kernel does in one go: nothing forks away from it.
    """
    found = False
    deadline = time.monotonic() + _DEATH_S
    while any(proc.pids_of_user(account.uid)):
        found = True
        if time.monotonic() > deadline:
            raise LauncherError("sandbox_failed", f"processes of {account.name} do not end")
        words = ["/bin/sh", "-c", "kill -KILL -1"]
        subprocess.Popen(words, user=account.uid, group=account.gid, extra_groups=(), env={}).wait()
        time.sleep(_LOOK_S)
    return found


def _remove_files_of(uid: int, folder: Path) -> None:
    """What the account left at the top of a folder of everybody's; no link is followed."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                if entry.stat(follow_symlinks=False).st_uid == uid:
                    if entry.is_dir(follow_symlinks=False):
                        shutil.rmtree(entry.path, ignore_errors=True)
                    else:
                        Path(entry.path).unlink()


def _write(path: Path, document: dict[str, Any]) -> None:
    """On disk whole when it returns: access lists outlive a crash of the host."""
    passing = path.with_suffix(".new")
    try:
        with passing.open("w", encoding="utf-8") as file:
            json.dump(document, file)
            file.flush()
            os.fsync(file.fileno())
        passing.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise LauncherError("sandbox_failed", f"the journal {path} cannot be written: {error}") from error


def _read(path: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        document = json.loads(path.read_bytes())
        if isinstance(document, dict):
            return document
    return {}
