"""The reviews of this daemon: what each sandbox wrote over a folder of the host, until that is decided.

<id>/review.json    the folder, how it is shown, who began it
<id>/base.json      the stamps of the real files when the sandbox saw them
<id>/upper, work    what was written, in the form of overlayfs; or
<id>/copy, copied.json    a copy, and the stamps of its files when it was made
<id>/apply.json     an application that has not ended
"""

import json
import logging
import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from hutch.errors import HutchError
from hutch.workspaces.look import Look, Stamp, look_over
from hutch.workspaces.pinning import Pinned, pinned
from hutch.workspaces.review.applying import Transaction
from hutch.workspaces.review.changes import Change, copy_changes, overlay_changes
from hutch.workspaces.review.copying import add_hidden, copy_folder
from hutch.workspaces.tree import Tree

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Review:
    """One review. `folder` is the real one, `place` ours."""

    id: str
    folder: Path
    how: Literal["overlay", "copy"]
    created_at: float
    place: Path

    @property
    def upper(self) -> Path:
        return self.place / "upper"

    @property
    def work(self) -> Path:
        return self.place / "work"

    @property
    def copy(self) -> Path:
        return self.place / "copy"

    def changes(self) -> list[Change]:
        """What differs now. Raises OSError."""
        if self.how == "overlay":
            return list(overlay_changes(self.folder, self.upper))
        return list(copy_changes(self.folder, self.copy, _stamps(self.place / "copied.json")))

    def base(self) -> dict[str, Stamp]:
        """The stamps of the real files when the sandbox saw them."""
        return _stamps(self.place / "base.json")


@dataclass(slots=True)
class Reviews:
    """Those in `folder`; one at a time has each."""

    folder: Path
    roots: Collection[Path] = ()  # that are granted
    most_bytes: int = sys.maxsize  # of all of them together
    _used: set[str] = field(default_factory=set)
    _sizes: dict[str, int] = field(default_factory=dict)  # of those that nobody has

    def find(self, review_id: str) -> Review:
        """Raises HutchError `changes_unknown`."""
        place = self.folder / review_id
        try:
            said = json.loads((place / "review.json").read_bytes())
        except (OSError, ValueError) as error:
            raise HutchError(
                "changes_unknown",
                f"{review_id} has no changes to look at",
                "its workspace was no :review, or its changes were applied or discarded",
            ) from error
        return Review(**{**said, "folder": Path(said["folder"]), "place": place})

    def ids(self) -> list[str]:
        """Of all reviews."""
        return [path.parent.name for path in self.folder.glob("*/review.json")]

    def size(self, review_id: str) -> int:
        """Return the bytes that a review takes on the disk."""
        if review_id not in self._sizes:
            place = self.folder / review_id
            entries = (Path(folder, name) for folder, *names in os.walk(place) for name in chain(*names))
            size = sum(_blocks(entry) for entry in entries)
            if review_id in self._used:
                return size
            self._sizes[review_id] = size
        return self._sizes[review_id]

    def _refuse_full(self) -> None:
        taken = sum(map(self.size, self.ids()))
        if taken >= self.most_bytes:
            raise HutchError(
                "reviews_full",
                f"what waits in reviews takes {taken >> 20} MiB of the {self.most_bytes >> 20} that it may",
                "apply or discard some: hutch diff lists them, hutch discard --older-than 30d; or raise "
                "policy.reviews_max",
            )

    def is_used(self, review_id: str) -> bool:
        """Whether somebody has it now."""
        return review_id in self._used

    @contextmanager
    def used(self, review_id: str) -> Iterator[None]:
        """Keep everybody else from it. Raises HutchError `review_busy`."""
        if review_id in self._used:
            raise HutchError(
                "review_busy",
                f"a sandbox is at work on the changes of {review_id}",
                "wait for its end, or stop it",
            )
        self._used.add(review_id)
        self._sizes.pop(review_id, None)
        try:
            yield
        finally:
            self._used.discard(review_id)

    def open(
        self,
        review_id: str,
        real: Path,
        *,
        overlays: bool,
        most_bytes: int,
        say: Callable[[str], None],
        hidden: AbstractSet[str] = frozenset(),
    ) -> Review:
        """Begin a review, or go on with it; of files that it has not changed it sees the newest state.

        What is `hidden` is in no copy.

        Raises HutchError `reviews_full`, `workspace_too_large`, `workspace_denied` where it is of another
        folder; OSError.
        """
        self._refuse_full()
        with pinned(real, self.roots) as held:
            look = look_over(held.here, ())
            if not (self.folder / review_id / "review.json").exists():
                copying = partial(copy_folder, most_bytes=most_bytes, say=say, hidden=hidden)
                return self._begin(review_id, held, look, None if overlays else copying)
        review = self.find(review_id)
        if review.folder != real:
            raise HutchError(
                "workspace_denied",
                f"{review_id} has changes of {review.folder}, which wait",
                f"apply or discard them first: hutch diff {review_id}",
            )
        if review.how == "overlay":
            held_paths = {change.path for change in review.changes()}
            old = review.base()
            kept = {path: old[path] for path in held_paths if path in old}
            newer = {path: stamp for path, stamp in look.stamps.items() if path not in held_paths}
            _store(review.place / "base.json", newer | kept)
        elif made := add_hidden(look, review.copy, hidden):
            _store(review.place / "copied.json", _stamps(review.place / "copied.json") | made)
        return review

    @contextmanager
    def real(self, review: Review) -> Iterator[Tree]:
        """The real folder of a review, as it may be changed. Raises HutchError `workspace_denied`."""
        with pinned(review.folder, self.roots) as held, Tree(held.fd) as tree:
            yield tree

    def apply(self, review: Review, transaction: Transaction) -> None:
        """Apply, and see the real files as the transaction left them from now on."""
        if self.journal(review).exists():
            raise HutchError(
                "apply_failed",
                f"an application of {review.id} could be neither ended nor taken back",
                f"mend {review.folder}, then restart the daemon",
            )
        self._settle(review, transaction.apply())

    def journal(self, review: Review) -> Path:
        return review.place / "apply.json"

    def discard(self, review_id: str) -> None:
        """Forget all that was written. Idempotent."""
        place = self.folder / review_id
        (place / "review.json").unlink(missing_ok=True)  # first: the rest is nothing without it
        _remove(place)

    def drop_if_empty(self, review: Review) -> None:
        """Forget a review in which nothing waits."""
        with suppress(OSError, ValueError):
            if not review.changes():
                self.discard(review.id)

    def recover(self, held: Collection[str] = ()) -> None:
        """Bring applications that a dead daemon left to their end, and clear away what holds nothing.

        Those that are `held` are used by somebody who lives.
        """
        for place in self.folder.iterdir() if self.folder.exists() else ():
            if place.name in held:
                continue
            if not (place / "review.json").exists():
                _remove(place)
                continue
            journal = place / "apply.json"
            if journal.exists():
                try:
                    self._settle(self.find(place.name), Transaction.read(journal, self.roots).recover())
                except (OSError, ValueError, KeyError, HutchError):
                    logger.exception("review=%s: its application could not be brought to an end", place.name)
            else:
                with suppress(HutchError):
                    self.drop_if_empty(self.find(place.name))

    def _begin(
        self, review_id: str, real: Pinned, look: Look, copying: Callable[..., dict[str, Stamp]] | None
    ) -> Review:
        place = self.folder / review_id
        _remove(place)
        place.mkdir(parents=True, mode=0o700)
        review = Review(review_id, real.folder, "copy" if copying else "overlay", time.time(), place)
        try:
            for made in (review.copy,) if copying else (review.upper, review.work):
                made.mkdir(mode=stat.S_IMODE(os.fstat(real.fd).st_mode) & 0o777)
            if copying:
                with Tree(real.fd) as tree:
                    copied = copying(tree, look, review.copy)
                _store(place / "copied.json", copied)
            _store(place / "base.json", look.stamps)
            said = {
                name: str(value) if isinstance(value, Path) else value
                for name, value in asdict(review).items()
            }
            del said["place"]
            _store(place / "review.json", said)
        except BaseException:
            _remove(place)
            raise
        return review

    def _settle(self, review: Review, stamps: Mapping[str, Stamp | None]) -> None:
        base = review.base() | {path: stamp for path, stamp in stamps.items() if stamp is not None}
        for path, stamp in stamps.items():
            if stamp is None:
                base.pop(path, None)
        if stamps:
            _store(review.place / "base.json", base)
        self.journal(review).unlink(missing_ok=True)


def _blocks(path: Path) -> int:
    with suppress(OSError):
        return path.lstat().st_blocks * 512
    return 0


def _store(path: Path, value: Mapping[str, Any]) -> None:
    passing = path.with_suffix(".new")
    with passing.open("w", encoding="utf-8", errors="surrogateescape") as out:
        json.dump(value, out)
        out.flush()
        os.fsync(out.fileno())
    passing.rename(path)


def _stamps(path: Path) -> dict[str, Stamp]:
    found = json.loads(path.read_bytes())
    return {name: tuple(stamp) for name, stamp in found.items()}


def _remove(place: Path) -> None:
    """Remove what a sandbox made, folders that nobody may enter too; nothing outside is followed to."""
    if not place.exists():
        return
    for folder, inner, _ in os.walk(place):
        for name in inner:
            path = Path(folder, name)
            if not path.is_symlink():
                with suppress(OSError):
                    path.chmod(0o700)
    shutil.rmtree(place, ignore_errors=True)
