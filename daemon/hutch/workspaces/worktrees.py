"""A checkout of its own for a run or session, outside of the repository; what is written becomes a branch.

<id>/worktree.json   the workspace, the repository and the commit that it stands on
<id>/ours.git        a repository of ours, never mounted: checks out, and makes the commit
<id>/tree            what the sandbox has, with a repository that is its own: nothing on the host obeys that
"""

import json
import os
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from hashlib import sha1
from pathlib import Path, PurePosixPath

from hutch.errors import HutchError
from hutch.workspaces.pinning import Pinned, pinned
from hutch.workspaces.repository import Repository, plain_objects, run_git

OBJECTS = PurePosixPath("/repository/objects")  # where the sandbox has the repository's objects, read-only
_RESULT = b"refs/heads/result"  # in ours
_MOST_BYTES = 1 << 30  # of a file
_LINK, _FOLDER_OF_ANOTHER = "120000", "160000"  # git's modes

Files = dict[str, tuple[str, str]]  # path -> (mode, object)


@dataclass(frozen=True, slots=True)
class Worktree:
    """One checkout. `commit` is the newest of its branch, at first the one that it began with."""

    id: str
    folder: Path
    commit: str
    place: Path
    is_new: bool = True  # there is no branch yet

    @property
    def tree(self) -> Path:
        return self.place / "tree"

    @property
    def ours(self) -> Path:
        return self.place / "ours.git"

    @property
    def branch(self) -> str:
        return f"hutch-{self.id}"


@dataclass(slots=True)
class Worktrees:
    """Those in `folder`. Methods raise HutchError `workspace_denied`, `git_failed`; OSError."""

    folder: Path
    roots: Collection[Path] = ()  # that are granted

    def open(self, worktree_id: str, top: Pinned, held: ExitStack) -> tuple[Worktree, Pinned]:
        """Check out, or go on with what is there; return it, and the repository's objects, held by `held`."""
        repository = Repository.of(top.folder)
        objects = held.enter_context(pinned(repository.objects, self.roots, watches=True))
        if (self.folder / worktree_id / "worktree.json").exists():
            _refuse_moved(top, objects)
            return self._read(worktree_id), objects
        place = self.folder / worktree_id
        shutil.rmtree(place, ignore_errors=True)
        made = Worktree(worktree_id, top.folder, repository.head, place)
        made.tree.mkdir(parents=True, mode=0o755)
        try:
            borrowed = plain_objects(objects)
            _prepare(made, repository)
            _refuse_moved(top, objects)
            if plain_objects(objects) != borrowed:
                raise HutchError(
                    "workspace_denied",
                    f"the objects of {top.folder} changed while they were read",
                    "run again when nothing else commits there",
                )
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        self._write(made)
        return made, objects

    def commit(self, worktree_id: str, message: str) -> tuple[Worktree, list[str]]:
        """Bring what changed into the branch as one commit; return what did, "A path" and so on."""
        worktree = self._read(worktree_id)
        before = _files_of(worktree)
        after = dict(_scanned(worktree, before))
        lines = [
            f"{'M' if path in before else 'A'} {path}" for path in after if after[path] != before.get(path)
        ]
        lines += [f"D {path}" for path in before if path not in after]
        if not lines:
            return worktree, []
        commit = _import(worktree, before, after, message)
        packs = sorted((worktree.ours / "objects/pack").glob("pack-*.pack"))
        try:
            Repository.of(worktree.folder).add_branch(worktree.branch, commit, packs, self.roots)
        except OSError as error:
            raise HutchError(
                "git_failed",
                f"{worktree.folder} does not take the branch {worktree.branch}: {error.strerror}",
                f"mend the repository, then restart the daemon; the checkout stays in {worktree.tree}",
            ) from error
        made = replace(worktree, commit=commit, is_new=False)
        self._write(made)
        return made, sorted(lines, key=lambda line: line[2:])

    def remove(self, worktree_id: str) -> None:
        """Take the checkout away; the branch stays."""
        place = self.folder / worktree_id
        for folder, names, _ in os.walk(place):
            for name in names:
                with suppress(OSError):
                    if not (path := Path(folder, name)).is_symlink():
                        path.chmod(0o700)
        shutil.rmtree(place, ignore_errors=True)

    def left(self) -> list[str]:
        """Those that there are."""
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.exists() else []

    def _read(self, worktree_id: str) -> Worktree:
        place = self.folder / worktree_id
        said = json.loads((place / "worktree.json").read_bytes())
        return Worktree(worktree_id, Path(said["folder"]), said["commit"], place, said["is_new"])

    def _write(self, worktree: Worktree) -> None:
        said = {"folder": str(worktree.folder), "commit": worktree.commit, "is_new": worktree.is_new}
        passing = worktree.place / "worktree.new"
        passing.write_text(json.dumps(said))
        passing.rename(worktree.place / "worktree.json")


def _refuse_moved(*held: Pinned) -> None:
    for each in held:
        each.refuse_moved()


def _prepare(made: Worktree, repository: Repository) -> None:
    run_git(made.ours, "init", "-q", "--bare", "--template=")
    info = made.ours / "objects/info"
    info.mkdir(exist_ok=True)
    (info / "alternates").write_text(f"{repository.objects}\n")
    if shallow := repository.shallow():
        (made.ours / "shallow").write_text(shallow)
    run_git(made.ours, "read-tree", made.commit)
    run_git(made.ours, "checkout-index", "-q", "-a", "-f", work_tree=made.tree)
    run_git(made.ours, "update-index", "-q", "--refresh", work_tree=made.tree)
    theirs = made.tree / ".git"
    run_git(theirs, "init", "-q", "--template=", f"--initial-branch={made.branch}", work_tree=made.tree)
    (theirs / "objects/info").mkdir(exist_ok=True)
    (theirs / "objects/info/alternates").write_text(f"{OBJECTS}\n")
    (theirs / "refs/heads" / made.branch).write_text(f"{made.commit}\n")
    (theirs / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = false\n")
    shutil.copyfile(made.ours / "index", theirs / "index")
    if shallow:
        (theirs / "shallow").write_text(shallow)


def _files_of(worktree: Worktree) -> Files:
    """What the branch has."""
    listed = run_git(worktree.ours, "ls-tree", "-r", "-z", worktree.commit)
    found: Files = {}
    for line in filter(None, listed.split(b"\0")):
        meta, _, path = line.partition(b"\t")
        mode, _, name = meta.decode().split(" ")
        found[os.fsdecode(path)] = (mode, name)
    return found


def _scanned(worktree: Worktree, before: Files) -> Iterator[tuple[str, tuple[str, str]]]:
    """What the checkout has now: what the branch had, and what is not ignored. No link is followed."""
    paths = dict(_walk(worktree.tree))
    fresh = [path for path in paths if path not in before]
    ignored = _ignored(worktree, fresh)
    for path, mode in sorted(paths.items()):
        if path in ignored:
            continue
        full = worktree.tree / path
        digest = sha1(b"blob %d\0" % _size(full, mode), usedforsecurity=False)
        for piece in _content(full, mode):
            digest.update(piece)
        yield path, (mode, digest.hexdigest())
    for path, (mode, name) in before.items():
        if mode == _FOLDER_OF_ANOTHER and (worktree.tree / path).is_dir():
            yield path, (mode, name)


def _walk(tree: Path, path: str = "") -> Iterator[tuple[str, str]]:
    for entry in os.scandir(tree / path):
        inner = f"{path}/{entry.name}" if path else entry.name
        mode = entry.stat(follow_symlinks=False).st_mode
        if entry.name.lower() == ".git":
            continue  # a repository's own; git has no such path
        if stat.S_ISDIR(mode):
            yield from _walk(tree, inner)
        elif stat.S_ISLNK(mode):
            yield inner, _LINK
        elif stat.S_ISREG(mode):
            yield inner, "100755" if mode & 0o100 else "100644"


def _ignored(worktree: Worktree, paths: list[str]) -> set[str]:
    if not paths:
        return set()
    listed = worktree.place / "listed"
    listed.write_bytes(b"".join(os.fsencode(path) + b"\0" for path in paths))
    words = ("check-ignore", "--no-index", "-z", "--stdin")
    found = run_git(worktree.ours, *words, stdin=listed, work_tree=worktree.tree, fine=(0, 1))
    return {os.fsdecode(path) for path in found.split(b"\0") if path}


def _import(worktree: Worktree, before: Files, after: Files, message: str) -> str:
    """Make the commit, and a pack of all that is new in it."""
    text = message.encode()
    stream = worktree.place / "stream"
    with stream.open("wb") as out:
        head = b"commit %s\ncommitter hutch <> now\ndata %d\n%s\nfrom %s\n"
        out.write(head % (_RESULT, len(text), text, worktree.commit.encode()))
        for path in before:
            if path not in after:
                out.write(b"D %s\n" % _quoted(path))
        for path, (mode, _) in after.items():
            if after[path] != before.get(path):
                full = worktree.tree / path
                out.write(b"M %s inline %s\ndata %d\n" % (mode.encode(), _quoted(path), _size(full, mode)))
                out.writelines(_content(full, mode))
                out.write(b"\n")
    words = ("fast-import", "--quiet", "--force", "--date-format=now")
    run_git(worktree.ours, "-c", "fastimport.unpackLimit=0", *words, stdin=stream)
    stream.unlink()
    return run_git(worktree.ours, "rev-parse", _RESULT.decode()).decode().strip()


def _size(path: Path, mode: str) -> int:
    size = path.lstat().st_size
    if mode != _LINK and size > _MOST_BYTES:
        raise HutchError(
            "workspace_too_large",
            f"{path} is larger than the {_MOST_BYTES >> 20} MiB that one file of a commit may have",
            "it stays where it is; take it away, and the next start of the daemon commits the rest",
        )
    return size


def _content(path: Path, mode: str) -> Iterator[bytes]:
    """The content of a file in pieces, or the target of a link. The sandbox is dead: nothing changes."""
    if mode == _LINK:
        yield os.fsencode(os.readlink(path))  # noqa: PTH115 - a Path would change the text
        return
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            yield piece


def _quoted(path: str) -> bytes:
    """As git-fast-import(1) wants a path with any byte in it."""
    escaped = (b"\\%03o" % byte if byte in b'"\\\n' else bytes([byte]) for byte in os.fsencode(path))
    return b'"' + b"".join(escaped) + b'"'
