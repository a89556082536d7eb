"""A repository of the host as files: its commit, its objects, a new branch. Git is never started with it.

Its configuration, hooks and filters are its owner's, and an agent may have had a hand in them. So git works
in a repository of ours that borrows its objects, with a configuration of ours.
"""

import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hutch.errors import HutchError
from hutch.workspaces.git import linked_worktree

_COMMIT = re.compile(r"[0-9a-f]{40}")
_GIT_S = 600.0  # for one call, on a large repository
_WHO = "hutch"
_ENV = {
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": _WHO,
    "GIT_AUTHOR_EMAIL": "",
    "GIT_COMMITTER_NAME": _WHO,
    "GIT_COMMITTER_EMAIL": "",
}


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository of the host. `git` is its own folder, that of linked worktrees too; `head` a commit."""

    git: Path
    head: str

    @classmethod
    def of(cls, top: Path) -> "Repository":
        """Find the repository whose working tree is `top`. Raises HutchError `workspace_denied`."""
        found = linked_worktree(top)
        own, common = top / ".git", found.common if found else top / ".git"
        if found is not None:
            own = found.inner
        head = _resolved(own, common)
        if not _is_plain_folder(common / "objects") or head is None:
            raise _denied(top, "is no git repository with a commit")
        borrowed = common / "objects/info/alternates"
        if os.path.lexists(borrowed) and borrowed.stat().st_size:
            raise _denied(top, "borrows objects from another repository")
        return cls(common, head)

    @property
    def objects(self) -> Path:
        return self.git / "objects"

    def add_packs(self, packs: Iterable[Path]) -> None:
        """Take packs of objects over: each pack before its index, which makes it known. Raises OSError."""
        to = self.objects / "pack"
        to.mkdir(exist_ok=True)
        for pack in packs:
            for file in (pack, pack.with_suffix(".idx")):
                if not (to / file.name).exists():
                    passing = to / f"tmp_{secrets.token_hex(8)}"
                    shutil.copyfile(file, passing)
                    _as_owner(passing, self.objects)
                    passing.chmod(0o444)
                    _sync(passing)
                    passing.rename(to / file.name)

    def set_branch(self, name: str, commit: str) -> None:
        """Let a branch of ours be at a commit. Raises OSError."""
        folder = self.git / "refs/heads"
        passing = self.git / f"hutch-{secrets.token_hex(8)}"
        passing.write_text(f"{commit}\n")
        _as_owner(passing, self.objects)
        _sync(passing)
        passing.rename(folder / name)


def run_git(
    repository: Path,
    *words: str,
    stdin: Path = Path(os.devnull),
    work_tree: Path | None = None,
    fine: tuple[int, ...] = (0,),
) -> bytes:
    """Run git in a repository of ours, with nobody's configuration. Raises HutchError `git_failed`."""
    env = {**_ENV, "PATH": os.environ.get("PATH", os.defpath), "GIT_DIR": str(repository)}
    if work_tree is not None:
        env["GIT_WORK_TREE"] = str(work_tree)
    options = ("-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false", "-c", "gc.auto=0")
    try:
        with stdin.open("rb") as data:
            done = subprocess.run(  # noqa: S603, TID251 - in a thread of its own
                ["git", *options, *words],  # noqa: S607 - the host's own
                stdin=data,
                capture_output=True,
                env=env,
                cwd="/",
                timeout=_GIT_S,
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HutchError(
            "git_failed", f"git could not be run: {error}", "install git on this host"
        ) from error
    if done.returncode not in fine:
        said = done.stderr.decode(errors="replace").strip()[-500:]
        raise HutchError("git_failed", f"git {words[0]} failed: {said}", "use :review instead of :worktree")
    return done.stdout


def _resolved(own: Path, common: Path) -> str | None:
    """The commit that HEAD is at, as its files say."""
    text = _line(own / "HEAD")
    if name := re.fullmatch(r"ref: (refs/[^\s]+)", text):
        if ".." in name[1]:
            return None
        text = _line(common / name[1]) or _packed(common / "packed-refs", name[1])
    return text if _COMMIT.fullmatch(text) else None


def _packed(file: Path, name: str) -> str:
    with suppress(OSError):
        for line in file.read_text(errors="surrogateescape").splitlines():
            commit, _, ref = line.partition(" ")
            if ref == name:
                return commit
    return ""


def _line(path: Path) -> str:
    if path.is_symlink():
        return ""
    with suppress(OSError):
        return path.read_text(errors="surrogateescape").strip()
    return ""


def _is_plain_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _as_owner(path: Path, like: Path) -> None:
    if os.geteuid() == 0:
        status = like.stat()
        os.chown(path, status.st_uid, status.st_gid)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _denied(top: Path, why: str) -> HutchError:
    return HutchError("workspace_denied", f"{top} {why}", f"have it as {top}:review instead")
