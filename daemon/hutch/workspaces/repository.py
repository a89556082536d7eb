"""A repository of the host as files: its commit, its objects, a new branch. Git is never started with it.

Its configuration, hooks and filters are its owner's, and an agent may have had a hand in them. So git works
in a repository of ours that borrows its objects, with a configuration of ours. No link in it is followed:
one among its refs or objects would show, or change, another repository of the host.
"""

import os
import re
import secrets
import shutil
import stat
import subprocess
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from hutch.errors import HutchError
from hutch.workspaces.git import linked_worktree
from hutch.workspaces.look import Stamp, look_over, stamp_of
from hutch.workspaces.pinning import Pinned, pinned
from hutch.workspaces.tree import Tree

_COMMIT = re.compile(r"[0-9a-f]{40}")
_TEXT_BYTES = 64 << 20  # of packed-refs: some 800,000 of them
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
        if "\n" in str(common):
            raise _denied(top, "has a line break in its path, which git cannot borrow objects by")
        return cls(common, head)

    @property
    def objects(self) -> Path:
        return self.git / "objects"

    def shallow(self) -> str:
        """The commits at which its history ends, a line each."""
        lines = _text(self.git, "shallow").split()
        return "".join(f"{line}\n" for line in lines if _COMMIT.fullmatch(line))

    def add_branch(self, name: str, commit: str, packs: Iterable[Path], roots: Collection[Path]) -> None:
        """Take packs of objects over, and let a branch of ours be at a commit.

        Raises HutchError `workspace_denied`, OSError.
        """
        with pinned(self.git, roots) as held, Tree(held.fd) as tree:
            with suppress(FileExistsError):
                tree.make_folder("objects/pack", 0o755)
            for pack in packs:
                for file in (pack, pack.with_suffix(".idx")):  # which makes the pack known
                    if tree.status(f"objects/pack/{file.name}") is None:
                        with file.open("rb") as data:
                            _put(tree, f"objects/pack/{file.name}", data, 0o444)
            _put(tree, f"refs/heads/{name}", BytesIO(f"{commit}\n".encode()), 0o644)


def plain_objects(objects: Pinned) -> Mapping[str, Stamp]:
    """Return the stamps of the folders that hold a repository's objects: no link was there if they stay so.

    Raises HutchError `workspace_denied` where git would be led out of the repository.
    """
    found = look_over(objects.here, ()).stamps
    top = objects.folder.parent.parent
    if any(not (stat.S_ISREG(stamp[0]) or stat.S_ISDIR(stamp[0])) for stamp in found.values()):
        raise _denied(top, "has a link among its objects")
    if any(path in found and found[path][1] for path in ("info/alternates", "info/http-alternates")):
        raise _denied(top, "borrows objects from another repository")
    return {path: stamp for path, stamp in found.items() if stat.S_ISDIR(stamp[0])} | {
        "": stamp_of(os.fstat(objects.fd))
    }


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
    text = _text(own, "HEAD").strip()
    if name := re.fullmatch(r"ref: (refs/[^\s]+)", text):
        if ".." in name[1]:
            return None
        text = _text(common, name[1]).strip() or _packed(common, name[1])
    return text if _COMMIT.fullmatch(text) else None


def _packed(git: Path, name: str) -> str:
    for line in _text(git, "packed-refs").splitlines():
        commit, _, ref = line.partition(" ")
        if ref == name:
            return commit
    return ""


def _text(folder: Path, path: str) -> str:
    """The text of a regular file, reached through no link; or nothing."""
    with suppress(OSError), Tree(folder) as tree:
        return tree.read(path, _TEXT_BYTES).decode(errors="surrogateescape")
    return ""


def _is_plain_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _put(tree: Tree, path: str, data: BinaryIO, mode: int) -> None:
    """Make a file that is whole when it has its name; it belongs to whom the repository does."""
    passing = f"hutch-{secrets.token_hex(8)}"
    with tree.new_file(passing) as fd:
        with open(os.dup(fd), "wb") as out:  # noqa: PTH123 - a descriptor has no path
            shutil.copyfileobj(data, out, 1 << 20)
        if os.geteuid() == 0:
            os.fchown(fd, *tree.owner("objects"))
        os.fchmod(fd, mode)
    try:
        tree.move(passing, path)
    except OSError:
        tree.remove(passing)
        raise


def _denied(top: Path, why: str) -> HutchError:
    return HutchError("workspace_denied", f"{top} {why}", f"have it as {top}:review instead")
