"""A run that a daemon has begun, in a process of its own: the daemon may die, and another one goes on."""

import os
import signal
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from hutch.access import Principals
from hutch.app import open_path
from hutch.config import Config
from hutch.errors import HutchError, unwrapped
from hutch.exit_codes import exit_code_of
from hutch.jobs import Ended, Event, Final, Job, JobDoor, JobFolder, JobJournal, configuration_of
from hutch.jobs.event_file import EventFile
from hutch.runner.control import Control
from hutch.runner.prepared import Preparing
from hutch.runner.taking import take_job
from hutch.runner.telling import Numbered, TellingRun, failure
from hutch.runs.path.ending import plain
from hutch.supervisor import Stop
from hutch.web.host import log_to_stderr, private_folder, raise_open_files

_TAKES_WITHIN_S = 20.0  # a daemon that looks whether somebody lives holds the job for a moment
_GRACE_S = 5.0  # for a run whose runner is told to end


async def run_apart(path: Path) -> None:
    """Take the job in a folder to its end; leave it alone if it was taken before, or was called off."""
    folder = JobFolder(path)
    try:
        async with folder.soon_held(_TAKES_WITHIN_S):
            job = folder.read()
            if job is not None and not folder.events.exists():
                config = configuration_of(job, {}, os.environ, str(path))
                log_to_stderr(config.daemon.log_level)
                raise_open_files()
                await _Apart(job, config, folder).run()
    except FileNotFoundError:
        return  # it was called off, or somebody else has brought it to its end
    except HutchError as error:
        if error.code != "job_running":
            raise


@dataclass(slots=True)
class _Apart:
    job: Job
    config: Config
    folder: JobFolder
    _stop: Stop = field(default_factory=Stop)
    _control: Control = field(init=False)
    _file: EventFile = field(init=False)
    _number: Numbered = field(init=False)

    def __post_init__(self) -> None:
        self._control = Control(self.folder.run_id, self._stop)
        self._file = EventFile(self.folder.events)
        self._number = Numbered(self._file.write)

    async def run(self) -> None:
        socket = self.folder.socket(private_folder(self.config))
        with unwrapped():
            async with anyio.create_task_group() as group, self._control.listening(socket):
                group.start_soon(self._obey_signals)
                group.start_soon(self._file.keep_writing)
                await self._take()
                await self._file.written()
                group.cancel_scope.cancel()

    async def _take(self) -> None:
        journal = JobJournal(self._tell)
        access = Principals(self.config, self._shares_with)
        logs = self.config.daemon.state / "runs"
        opened = open_path(self.config, journal, access, logs, self.folder.keeper, self._control)
        try:
            async with opened as rooms:
                self._control.rooms = rooms
                token = JobDoor.token_of(self.folder)
                preparing = Preparing(rooms, self.job, self.folder.run_id, journal, self._stop, token)
                code = await take_job(preparing, self.folder, self._beside)
                self._end(code)  # nobody has to wait until our store is closed
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told as an event
            refused = plain(error)
            self._tell(Final(error=failure(refused)))
            self._end(exit_code_of(refused.code))

    def _end(self, code: int) -> None:
        self._tell(Ended(exit_code=code))
        self._control.hurry()

    @asynccontextmanager
    async def _beside(self, live: TellingRun) -> AsyncGenerator[None]:
        self._control.live = live
        async with anyio.create_task_group() as group:
            group.start_soon(self._pass_growth_on, live)
            yield
            group.cancel_scope.cancel()

    async def _pass_growth_on(self, live: TellingRun) -> None:
        while True:
            await live.log.grown()
            self._control.wake()

    def _tell(self, event: Event) -> None:
        self._number(event)
        self._control.wake()

    async def _obey_signals(self) -> None:
        """A person may end a runner; a terminal that closes, or its Ctrl-C, is not meant for it."""
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async for number in signals:
                if number == signal.SIGTERM:
                    self._stop.ask("its runner was told to end", _GRACE_S)

    async def _shares_with(self, principal: str) -> Mapping[str, str]:
        return self.job.shares if principal == self.job.principal else {}
