"""`hutch job run`: one job to its end in this process, without a daemon."""

import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import anyio

from hutch.access import Principals
from hutch.app import open_path
from hutch.config import Config, own_folder
from hutch.errors import unwrapped
from hutch.exit_codes import PIPE_CLOSED, exit_code_of
from hutch.jobs import Ended, Final, Job, JobFolder, JobJournal
from hutch.runner.prepared import Preparing
from hutch.runner.printing import Printer
from hutch.runner.taking import take_job
from hutch.runner.telling import failure
from hutch.runs.path.ending import plain
from hutch.runs.rooms import PathRooms, new_id
from hutch.runs.upkeep.leftovers import end_left, end_left_jobs
from hutch.supervisor import Stop
from hutch.web.host import log_to_stderr, private_folder, raise_open_files

_LOOK_S = 1.0  # a daemon that looks whether somebody lives holds the job for a moment
_LAST_WORDS_S = 10.0  # for a slow reader to take the last events


async def run_here(job: Job, config: Config, descriptor: int = 1) -> int:
    """Take a job to its end, its events as lines to `descriptor`, and return the code to exit by.

    A signal ends the run, which commits its volumes. Raises HutchError `job_running`, `folder_unsafe`.
    """
    log_to_stderr(config.daemon.log_level)
    raise_open_files()
    folder = JobFolder.of(own_folder(config.daemon.state), job.id or new_id("r"))
    folder.make()
    async with folder.soon_held(_LOOK_S):
        return await _Here(job, config, folder, descriptor).run()


@dataclass(slots=True)
class _Here:
    job: Job
    config: Config
    folder: JobFolder
    descriptor: int
    _stop: Stop = field(default_factory=Stop)
    _signal: int = 0
    _printer: Printer = field(init=False)

    def __post_init__(self) -> None:
        self._printer = Printer(self.descriptor, self._reader_is_gone)

    async def run(self) -> int:
        with unwrapped():
            async with anyio.create_task_group() as group:
                group.start_soon(self._obey_signals)
                group.start_soon(self._printer.pour)
                code = await self._take()
                code = 128 + self._signal if self._signal else code
                self._printer.tell(Ended(exit_code=code))
                with anyio.move_on_after(_LAST_WORDS_S):
                    await self._printer.write()
                group.cancel_scope.cancel()
        self.folder.remove()
        return code

    async def _take(self) -> int:
        state, private = self.config.daemon.state, private_folder(self.config)
        logs = state / "runs"
        log = logs / self.folder.run_id
        await end_left(self.folder, private)  # of one by this id that was killed
        shutil.rmtree(log, ignore_errors=True)
        await end_left_jobs(state, private, logs)
        self.folder.write(self.job)
        journal = JobJournal(self._printer.tell)
        access = Principals(self.config, self._shares_with)
        try:
            async with open_path(self.config, journal, access, logs, self.folder.keeper) as rooms:
                return await self._along(rooms, journal)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told as an event
            refused = plain(error)
            self._printer.tell(Final(error=failure(refused)))
            self._printer.tell_final()
            return exit_code_of(refused.code)
        finally:
            await end_left(self.folder, private)
            shutil.rmtree(log, ignore_errors=True)

    async def _along(self, rooms: PathRooms, journal: JobJournal) -> int:
        log = rooms.logs / self.folder.run_id
        preparing = Preparing(rooms, self.job, self.folder.run_id, journal, self._stop)
        code = await take_job(preparing, self.folder, partial(self._printer.with_output, folder=log))
        self._printer.tell_final()
        return code

    async def _obey_signals(self) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async for number in signals:
                self._signal = self._signal or number
                self._stop.ask(f"ended by {number.name}", self.config.daemon.stop_grace_s)

    def _reader_is_gone(self) -> None:
        self._signal = self._signal or PIPE_CLOSED - 128
        self._stop.ask("nobody reads its events any more", self.config.daemon.stop_grace_s)

    async def _shares_with(self, principal: str) -> Mapping[str, str]:
        return self.job.shares if principal == self.job.principal else {}
