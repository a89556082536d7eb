"""Hears of changes below a working folder, by watchfiles. What it tells are hints, never facts.

The folder is an attacker's, and watchfiles follows what it is given by path: in its recursive mode a folder
that is renamed with a link to / in it makes it watch the whole host. So each folder is opened beneath the
root and watched by its descriptor, without what is below it: no link is followed, and any name will do.

Known not to be heard: stores to mapped memory, what a full queue dropped, what was written into a folder
before it was watched. Whoever listens looks at everything now and then all the same.
"""

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from hutch.volumes.folder.beneath import FOLDER_FLAGS, open_beneath

_log = logging.getLogger(__name__)
_EAR_FOLDERS = 400  # each needs a descriptor for as long as it takes to begin
_YOUNG_FOLDERS = 64  # begun anew whenever one comes
_EARS = 12  # inotify instances; a user has 128 (fs.inotify.max_user_instances)
_ROUND_S = 0.015  # between two questions to every ear
_WINDOW_S = 1.0  # over which an ear's use of the CPU is measured
_BUSY = 0.2  # of a core, for all ears, of which folders that are heard all the time are the reason
_STORM = 0.4  # the same, whatever the reason; a writer in a loop costs 0.7
_REST_S = 4.0  # for what keeps an ear busy, or breaks it; doubled each time
_LONGEST_REST_S = 64.0
_FORGIVEN_S = 60.0
_MOST_RESTS = 5000  # that are remembered
_RELOOK_S = 1.5  # at folders that are not watched for now
_MANY = 4000  # paths in one answer: a queue may have been full

_building = threading.Lock()  # so that a new thread can be told from those of other ears


@dataclass(slots=True)
class Heard:
    """Hints since the last call, as paths that `spots_of` reads."""

    paths: set[bytes] = field(default_factory=set)
    is_doubtful: bool = False  # more may have happened


class _Ear:
    """One inotify instance over some folders."""

    def __init__(self, root: int, folders: Iterable[bytes]) -> None:
        """Raises OSError, WatchfilesRustInternalError: a limit of the kernel."""
        self.folders: dict[str, bytes] = {}  # by the label that stands for the folder
        self.rounds: Counter[bytes] = Counter()  # of the window, in which a folder was heard
        self.asked = 0  # rounds of the window
        descriptors: list[int] = []
        try:
            for folder in folders:
                try:
                    descriptors.append(open_beneath(root, folder, FOLDER_FLAGS))
                except OSError:  # gone since, or closed to us
                    continue
                self.folders[f"/proc/self/fd/{descriptors[-1]}"] = folder
            with _building:
                before = _threads()
                self._notify = RustNotify(list(self.folders), False, False, 0, False, False)  # noqa: FBT003
                self._thread = next(iter(_threads() - before), 0)
        finally:
            for fd in descriptors:
                os.close(fd)
        self._used_ns, self._since = self._cpu_ns(), time.monotonic()

    def hear(self, heard: Heard) -> None:
        """Add what it heard. Raises WatchfilesRustInternalError: a name was no UTF-8, it hears no more."""
        self.asked += 1
        answer = self._notify.watch(1, 1, 1, None)
        if isinstance(answer, str):
            return
        heard.is_doubtful |= len(answer) > _MANY
        of_round = set()
        for _, told in answer:
            label, _, name = told.removeprefix(_PREFIX).partition("/")
            folder = self.folders.get(_PREFIX + label)
            if folder is not None:
                path = os.fsencode(name)
                heard.paths.add(folder + b"/" + path if folder and path else folder or path)
                of_round.add(folder)
        self.rounds.update(of_round)

    def busy_share(self) -> float | None:
        """The share of a core that it took in the window that ends now; None: the window has not ended."""
        now = time.monotonic()
        took_s = now - self._since
        if took_s < _WINDOW_S:
            return None
        used_ns = self._cpu_ns()
        share = (used_ns - self._used_ns) / 1e9 / took_s
        self._used_ns, self._since = used_ns, now
        return share

    def close(self) -> None:
        self._notify.close()

    def _cpu_ns(self) -> int:
        try:
            return int(Path(f"/proc/self/task/{self._thread}/schedstat").read_text().split()[0])
        except (OSError, IndexError, ValueError):
            return 0


_PREFIX = "/proc/self/fd/"


def _threads() -> set[int]:
    """Of this process, those in which watchfiles listens."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it has ended
            if (task / "comm").read_text().startswith("notify"):
                found.add(int(task.name))
    return found


class Watch:
    """All ears of one working folder. Blocking: `cover` and `hear` are for threads, one each."""

    def __init__(self, tree: Path) -> None:
        self._limit: str | None = None  # that was met
        self._limit_until = 0.0
        self._missed = Heard()  # by whoever was not listening just then
        self._tree = tree
        self._ears: list[_Ear] = []
        self._covered: dict[bytes, int] = {}  # folder: its inode
        self._resting: dict[bytes, float] = {}  # folder: until when it is not watched
        self._rests: dict[bytes, tuple[float, float]] = {}  # folder: how long it rested last, and until when
        self._why = ""
        self._relook_at = 0.0
        self._lock = threading.Lock()  # over all of the above
        self._closed = threading.Event()

    @property
    def scan_only(self) -> str | None:
        """Why some changes are found late, by looking."""
        with self._lock:
            if self._limit or not self._resting:
                return self._limit
            return f"{len(self._resting)} folders are looked at, not watched: {self._why}"

    def cover(self, folders: Iterable[tuple[bytes, int]]) -> list[bytes]:
        """Watch these too, told with their inodes; returns those that were not watched before."""
        with self._lock:
            fresh = {
                path: inode
                for path, inode in folders
                if self._covered.get(path) != inode and path not in self._resting
            }
            if fresh and not self._closed.is_set():
                self._covered.update(fresh)
                self._add(list(fresh))
            return list(fresh)

    def hear(self, wait_s: float) -> Heard:
        """What was heard; returns at the first word, or after a while."""
        heard = Heard()
        until = time.monotonic() + wait_s
        while not self._closed.is_set():
            with self._lock:
                heard, self._missed = self._missed, Heard()
                self._listen(heard)
            if heard.paths or heard.is_doubtful or time.monotonic() >= until:
                break
            self._closed.wait(_ROUND_S)
        return heard

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            self._drop(list(self._ears))

    def forget(self) -> None:
        """Watch nothing: the root is another folder now."""
        with self._lock:
            self._drop(list(self._ears))
            self._covered.clear()
            self._resting.clear()

    def _listen(self, heard: Heard) -> None:
        for ear in list(self._ears):
            try:
                ear.hear(heard)
            except WatchfilesRustInternalError:
                self._rest(ear, set(ear.folders.values()), "a name in it is not valid UTF-8")
                heard.paths.update(folder + b"/" for folder in ear.folders.values())
                continue
            share = ear.busy_share()
            if share is None:
                continue
            if share > _BUSY / len(self._ears):
                busy = {folder for folder, rounds in ear.rounds.items() if rounds >= ear.asked / 2}
                if not busy and share > _STORM / len(self._ears):
                    busy = set(ear.rounds)
                if busy:
                    self._rest(ear, busy, "they are written in all the time")
            ear.rounds.clear()
            ear.asked = 0
        self._wake(heard)

    def _wake(self, heard: Heard) -> None:
        """Have a look at folders that rest, and watch those again that have rested."""
        now = time.monotonic()
        if self._resting and now >= self._relook_at:
            self._relook_at = now + _RELOOK_S
            heard.paths.update(folder + b"/" for folder in self._resting)
        if self._limit and now >= self._limit_until:
            self._add_all()
        rested = [folder for folder, until in self._resting.items() if now >= until]
        for folder in rested:
            del self._resting[folder]
        if rested:
            self._add([folder for folder in rested if folder in self._covered])
            heard.paths.update(folder + b"/" for folder in rested)  # between the last look and this

    def _rest(self, ear: _Ear, folders: set[bytes], why: str) -> None:
        """Do not watch some folders of an ear for a while."""
        now = time.monotonic()
        for folder in folders:
            last, ended = self._rests.get(folder, (0.0, 0.0))
            pause = min(_LONGEST_REST_S, 2 * last) if last and now < ended + _FORGIVEN_S else _REST_S
            self._rests[folder] = (pause, now + pause)
            self._resting[folder] = now + pause
        self._replace([ear], [folder for folder in ear.folders.values() if folder not in folders])
        self._why = why
        if len(self._rests) > _MOST_RESTS:
            self._rests = {path: rest for path, rest in self._rests.items() if path in self._resting}

    def _drop(self, ears: list[_Ear]) -> None:
        for ear in ears:
            self._ears.remove(ear)
            ear.close()

    def _add(self, folders: list[bytes]) -> None:
        """Begin to watch; a limit that is met is told and leaves them unwatched."""
        young = self._ears[-1] if self._ears else None
        if self._limit:  # until it is tried again
            return
        if len(self._ears) >= _EARS:
            self._add_all()
        elif young and len(young.folders) + len(folders) <= _YOUNG_FOLDERS:
            self._replace([young], [*young.folders.values(), *folders])
        else:
            self._replace([], folders)

    def _add_all(self) -> None:
        """Begin anew with as few ears as will do."""
        self._limit = None
        # In their order: those that were there first are not given up for what a run makes by the thousand.
        folders = [folder for folder in self._covered if folder not in self._resting]
        self._replace(list(self._ears), folders)

    def _replace(self, old: list[_Ear], folders: list[bytes]) -> None:
        fresh = self._built(folders)
        for ear in old:  # the new ones listen already, so that nothing is missed between
            with suppress(WatchfilesRustInternalError):
                ear.hear(self._missed)
        self._drop(old)
        self._ears += fresh

    def _built(self, folders: list[bytes]) -> list[_Ear]:
        built: list[_Ear] = []
        try:
            root = os.open(self._tree, FOLDER_FLAGS)
        except OSError:  # gone; whoever scans it tells
            return built
        try:
            for start in range(0, len(folders), _EAR_FOLDERS):
                if len(built) >= _EARS:
                    self._limited(f"{len(folders):,} folders are more than can be watched")
                    break
                built.append(_Ear(root, folders[start : start + _EAR_FOLDERS]))
        except (OSError, WatchfilesRustInternalError) as error:
            self._limited(f"no more can be watched: {error}")
        finally:
            os.close(root)
        if len(folders) > _EAR_FOLDERS:  # those that have gone meanwhile need not be remembered
            alive = {folder for ear in built for folder in ear.folders.values()}
            for folder in set(folders) - alive if self._limit is None else ():
                self._covered.pop(folder, None)
        return built

    def _limited(self, why: str) -> None:
        _log.warning("%s: some changes are found late: %s", self._tree, why)
        self._limit, self._limit_until = why, time.monotonic() + _FORGIVEN_S
