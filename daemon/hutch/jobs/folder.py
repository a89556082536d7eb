"""The folder of a job that is taken: what it says, and whether somebody lives who takes it.

<state>/jobs/<run id>/job.json      the job; 0600, as a command's environment and input stand in it
                      lock          flock: held by whoever takes it, until it has ended or is dead; his pid
                      begun.json    what its sandbox is made by, and in whose name it holds things
                      events        what has happened, where a daemon is told
                      door          by which token its sandbox reaches the daemon, and what bounds it; 0600
                      lent          how many bytes it may pass, of budgets that others share
                      keeper        a pipe, by which the keeper of its deadline is told that it was ended
"""

import fcntl
import json
import os
import shutil
import time
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import anyio

from hutch.errors import HutchError
from hutch.jobs.document import Job
from hutch.jobs.reading import read_job

_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
_ASK_AGAIN_S = 0.01
_LOCK = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


@dataclass(frozen=True, slots=True)
class JobBegun:
    """What its sandbox is made by, and in whose name it holds things here: its session's, or its own."""

    kind: str
    options: Mapping[str, object]
    holder: str


@dataclass(frozen=True, slots=True)
class JobFolder:
    """Of one job."""

    path: Path

    @staticmethod
    def of(state: Path, run_id: str) -> "JobFolder":
        return JobFolder(state / "jobs" / run_id)

    @staticmethod
    def all(state: Path) -> "Iterator[JobFolder]":
        """Yield those that there are."""
        yield from (JobFolder(path) for path in sorted((state / "jobs").glob("r-*")))

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def events(self) -> Path:
        return self.path / "events"

    @property
    def keeper(self) -> Path:
        return self.path / "keeper"

    def make(self) -> None:
        """Make the folder, if it is not there. Raises OSError."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def write(self, job: Job) -> None:
        """Write the job. Raises OSError."""
        self.make()
        self._put("job.json", job.model_dump_json(exclude_defaults=True).encode())

    def read(self) -> Job | None:
        """Return the job; None: it was never written whole. Raises HutchError `job_invalid`."""
        file = self.path / "job.json"
        try:
            return read_job(file.read_bytes(), str(file))
        except FileNotFoundError:
            return None

    def note(self, begun: JobBegun) -> None:
        """Note how it begins: whoever finds it dead ends what is left. Raises OSError."""
        self._put("begun.json", json.dumps(asdict(begun), default=str).encode())

    @property
    def begun(self) -> JobBegun | None:
        """How it began; None: there is nothing of it yet."""
        try:
            return JobBegun(**json.loads((self.path / "begun.json").read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def note_door(self, door: bytes) -> None:
        """Write its door, before its job, or in place of what was written. Raises OSError."""
        self.make()
        self._put("door", door)

    @property
    def door(self) -> bytes | None:
        """Its door as it was written; None: it has none."""
        try:
            return (self.path / "door").read_bytes()
        except FileNotFoundError:
            return None

    def note_lent(self, count: int) -> None:
        """Note how many bytes it may pass in all, before it is told. Raises OSError."""
        self._put("lent", str(count).encode())

    @property
    def lent(self) -> int:
        """How many bytes it was told it may pass."""
        try:
            return int((self.path / "lent").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    @property
    def is_of_use(self) -> bool:
        """Whether the run can be followed on, or somebody is at it still."""
        try:
            return self.is_taken or self.read() is not None
        except HutchError:
            return False

    @contextmanager
    def held(self) -> Generator[None]:
        """Take the job: nobody else can while we live. Raises HutchError `job_running`, FileNotFoundError."""
        fd = os.open(self.path / "lock", _LOCK, 0o600)
        try:
            _lock(fd, self.run_id)
            os.ftruncate(fd, 0)
            os.pwrite(fd, str(os.getpid()).encode(), 0)  # for a person
            yield
        finally:
            os.close(fd)

    @asynccontextmanager
    async def soon_held(self, wait_s: float) -> AsyncGenerator[None]:
        """The same, when somebody who holds it for a moment lets it go. Raises `job_running`."""
        until = time.monotonic() + wait_s
        while True:
            try:
                with self.held():
                    yield
                    return
            except HutchError as error:
                if error.code != "job_running" or time.monotonic() > until:
                    raise
            await anyio.sleep(_ASK_AGAIN_S)

    def socket(self, private: Path) -> Path:
        """Where the process that takes it listens; a short path, as a socket's is to be."""
        return private / f"{self.run_id}.sock"

    @property
    def is_taken(self) -> bool:
        """Whether somebody lives who takes it."""
        try:
            fd = os.open(self.path / "lock", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def remove(self) -> None:
        """Take it away, with all in it. Idempotent."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _put(self, name: str, data: bytes) -> None:
        """Write a file of it, whole or not at all."""
        passing = self.path / f"{name}.new"
        with os.fdopen(os.open(passing, _WRITE, 0o600), "wb") as file:
            file.write(data)
        passing.rename(self.path / name)


def _lock(fd: int, run_id: str) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_nlink == 0:  # it was taken away since we opened it: another may lie there by now
            raise BlockingIOError
    except BlockingIOError:
        raise HutchError(
            "job_running", f"job {run_id} is at work already", "wait for its end, or give this one another id"
        ) from None
