"""Some changes brought into the real folder, all of them or none: also when the daemon is killed on the way.

Everything new is staged first, in a folder of the workspace itself and so on its filesystem, and is on the
disk; then the journal says so, and that is the decision. What follows are renames, which are done again after
a crash. What was there stays in the staging folder until the end, so that all can be taken back where
somebody else changed a file in between.
"""

import errno
import json
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from hutch.errors import HutchError
from hutch.workspaces.look import Stamp
from hutch.workspaces.pinning import pinned
from hutch.workspaces.review.entries import xattrs
from hutch.workspaces.review.steps import Step
from hutch.workspaces.tree import Tree

_MANY = 500  # steps: one sync of all is then quicker than one of each file, a millisecond on a slow disk
_NOT_EMPTY = (errno.ENOTEMPTY, errno.ELOOP)  # of a folder that we made; of a link in the place of one

State = Literal["staging", "applying", "undoing", "applied"]


@dataclass(slots=True)
class Transaction:
    """One application of steps to `root`, beneath granted `roots`; `journal` is where it is written down."""

    root: Path
    journal: Path
    steps: Sequence[Step]
    staging: str = field(default_factory=lambda: f".hutch-apply-{secrets.token_hex(6)}")
    state: State = "staging"
    inodes: dict[str, int] = field(default_factory=dict)  # of what we put, by path
    _removed: frozenset[str] | None = None
    before_each: Callable[[], None] = lambda: None  # called before every change of the disk
    roots: Collection[Path] = ()

    def apply(self) -> dict[str, Stamp | None]:
        """Apply all or nothing, and return the new stamp of each path.

        Raises HutchError `change_conflict`, `apply_failed`; nothing has changed then.
        """
        with self._tree() as tree:
            try:
                self._write("staging")
                self._stage(tree)
                self._refuse_changed(tree)
                self._write("applying")
            except (HutchError, OSError) as error:
                self._forget(tree)
                raise _failed(error) from error
            try:
                self._go_on(tree)
            except OSError as error:
                self._take_back(tree)
                raise _failed(error) from error
            return self._finish(tree)

    def recover(self) -> dict[str, Stamp | None]:
        """Bring an interrupted transaction to its end, one or the other; no stamps: nothing has changed."""
        with self._tree() as tree:
            if self.state == "staging":
                self._forget(tree)
                return {}
            if self.state == "applying":
                try:
                    self._refuse_changed(tree)
                    self._go_on(tree)
                except (HutchError, OSError):
                    self._take_back(tree)
                    return {}
            if self.state == "undoing":
                self._take_back(tree)
                return {}
            return self._finish(tree)

    @classmethod
    def read(cls, journal: Path, roots: Collection[Path] = ()) -> "Transaction":
        """Read a journal. Raises OSError, ValueError."""
        said = json.loads(journal.read_bytes())
        steps = [Step.read(stored) for stored in said["steps"]]
        made = cls(Path(said["root"]), journal, steps, said["staging"], said["state"], said["inodes"])
        made.roots = roots
        return made

    @contextmanager
    def _tree(self) -> Iterator[Tree]:
        with pinned(self.root, self.roots) as held, Tree(held.fd, self.before_each) as tree:
            yield tree

    # Staging -------------------------------------------------------------

    def _stage(self, tree: Tree) -> None:
        tree.make_folder(self.staging, 0o700)
        for number, step in enumerate(self.steps):
            if step.op == "put":
                self._stage_one(tree, step, self._new(number), syncs=len(self.steps) <= _MANY)
                self.inodes[step.path] = _inode(tree, self._new(number))
        if len(self.steps) > _MANY:
            tree.sync_all()
        tree.sync(f"{self.staging}/x")

    def _stage_one(self, tree: Tree, step: Step, to: str, *, syncs: bool) -> None:
        assert step.source is not None
        source = Path(step.source)
        if source.is_symlink():
            tree.new_link(to, os.readlink(source))  # noqa: PTH115 - a Path would change the text
            return
        with tree.new_file(to, syncs=syncs) as fd:
            if step.content is not None:
                _write_all(fd, step.content.encode("latin-1"))
            else:
                _copy(source, fd)
            for name, value in xattrs(source).items():
                with suppress(OSError):  # a filesystem that has none
                    os.setxattr(fd, name, value)
            _give_away(tree, step, fd)
            os.fchmod(fd, step.mode)

    def _refuse_changed(self, tree: Tree) -> None:
        """Refuse unless each path is as it was, or as we made it."""
        for number, step in enumerate(self.steps):
            if not self._is_done(tree, number, step) and not self._is_pending(tree, number, step):
                raise HutchError(
                    "change_conflict",
                    f"{step.path} has changed in {self.root} since the sandbox saw it",
                    "nothing was applied; look at both, then apply the others or some hunks",
                )

    # The renames -------------------------------------------------------------

    def _go_on(self, tree: Tree) -> None:
        for number, step in enumerate(self.steps):
            if not self._is_done(tree, number, step):
                self._do(tree, number, step)
        for path in {step.path.rpartition("/")[0]: step.path for step in self.steps}.values():
            with suppress(FileNotFoundError, NotADirectoryError):
                tree.sync(path)

    def _do(self, tree: Tree, number: int, step: Step) -> None:
        if step.op == "remove":
            tree.move(step.path, self._old(number))
        elif step.op == "remove_folder":
            tree.remove_folder(step.path)
        elif step.op == "make_folder":
            tree.make_folder(step.path, step.mode)
            tree.set_mode(step.path, step.mode)
        elif step.op == "set_mode":
            tree.set_mode(step.path, step.mode)
        else:
            if step.before is not None and tree.status(self._old(number)) is None:
                tree.link(step.path, self._old(number))
            tree.move(self._new(number), step.path)

    def _is_done(self, tree: Tree, number: int, step: Step) -> bool:
        if step.op == "remove":
            return tree.status(self._old(number)) is not None
        if step.op == "remove_folder":
            return not tree.is_folder(step.path)
        if step.op == "make_folder":
            return tree.is_folder(step.path)
        if step.op == "set_mode":
            return False
        return tree.status(self._new(number)) is None and tree.status(self.staging) is not None

    def _is_pending(self, tree: Tree, number: int, step: Step) -> bool:
        if step.op in ("set_mode", "remove_folder"):
            return tree.is_folder(step.path)
        old = tree.status(self._old(number))
        if old is not None:  # it has its second name already, and so another ctime
            now = tree.status(step.path)
            return now is not None and os.path.samestat(now, old)
        # What goes comes first: what takes its place is pending wherever it went
        return (not step.op.startswith("remove") and step.path in self._going()) or (
            tree.stamp(step.path) == step.before
        )

    def _going(self) -> frozenset[str]:
        if self._removed is None:
            self._removed = frozenset(step.path for step in self.steps if step.op.startswith("remove"))
        return self._removed

    # The end -------------------------------------------------------------

    def _take_back(self, tree: Tree) -> None:
        """Undo what was done, the last first; what somebody else put in its place meanwhile stays.

        Killed on the way, the next daemon goes on with it. Raises HutchError `apply_failed` where the host
        refuses: what was there then stays in the staging folder, and the next daemon tries again.
        """
        self._write("undoing")
        refused: OSError | None = None
        for number, step in reversed(list(enumerate(self.steps))):
            try:
                self._undo(tree, number, step)
            except (FileExistsError, FileNotFoundError, NotADirectoryError):
                continue  # somebody else's
            except OSError as error:
                refused = error if error.errno not in _NOT_EMPTY else refused
        if refused:
            raise HutchError(
                "apply_failed",
                f"the host refused to have a change taken back: {refused.strerror}; what was there is in "
                f"{self.root / self.staging}",
                "mend the folder, then restart the daemon, which takes the rest back",
            )
        self._forget(tree)

    def _undo(self, tree: Tree, number: int, step: Step) -> None:
        old = self._old(number)
        if step.op == "put" and tree.status(self._new(number)) is None:
            if _inode(tree, step.path) != self.inodes.get(step.path):
                return
            if tree.status(old) is not None:
                tree.move(old, step.path)
            else:
                tree.remove(step.path)
        elif step.op == "remove" and tree.status(old) is not None:
            tree.link(old, step.path)
        elif step.op == "make_folder":
            tree.remove_folder(step.path)
        elif step.op == "remove_folder" and tree.status(step.path) is None and step.before:
            tree.make_folder(step.path, step.before[0] & 0o777)
        elif step.op == "set_mode" and step.before:
            tree.set_mode(step.path, step.before[0] & 0o777)

    def _finish(self, tree: Tree) -> dict[str, Stamp | None]:
        self._write("applied")
        stamps = {step.path: tree.stamp(step.path) for step in self.steps}
        tree.remove_all(self.staging)
        return stamps

    def _forget(self, tree: Tree) -> None:
        tree.remove_all(self.staging)
        self.journal.unlink(missing_ok=True)

    def _write(self, state: State) -> None:
        self.before_each()
        said = {
            "root": str(self.root),
            "staging": self.staging,
            "state": state,
            "inodes": self.inodes,
            "steps": [step.stored() for step in self.steps],
        }
        passing = self.journal.with_suffix(".new")
        with passing.open("w", encoding="utf-8", errors="surrogateescape") as out:
            json.dump(said, out)
            out.flush()
            os.fsync(out.fileno())
        passing.rename(self.journal)
        self.state = state

    def _new(self, number: int) -> str:
        return f"{self.staging}/new-{number}"

    def _old(self, number: int) -> str:
        return f"{self.staging}/old-{number}"


def _inode(tree: Tree, path: str) -> int:
    status = tree.status(path)
    return 0 if status is None else status.st_ino


def _copy(source: Path, fd: int) -> None:
    inner = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(inner, "rb") as read, open(os.dup(fd), "wb") as write:  # noqa: PTH123 - descriptors have no path
        shutil.copyfileobj(read, write, 1 << 20)


def _write_all(fd: int, data: bytes) -> None:
    with open(os.dup(fd), "wb") as out:  # noqa: PTH123 - a descriptor has no path
        out.write(data)


def _give_away(tree: Tree, step: Step, fd: int) -> None:
    """What root's daemon makes belongs to whom the file, or the folder it comes into, belonged to."""
    if os.geteuid() == 0:
        owner = tree.owner(step.path)
        os.fchown(fd, *owner)


def _failed(error: HutchError | OSError) -> HutchError:
    if isinstance(error, HutchError):
        return error
    return HutchError(
        "apply_failed",
        f"the host refused a change: {error.strerror or error}",
        "nothing was applied; free space or mend the folder, then apply again",
    )
