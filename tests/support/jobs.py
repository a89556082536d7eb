"""`hutch job run` as a process of its own, and the events that it tells."""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from support.daemon import BASE, give_probes
from support.forked_daemon import ForkedDaemon, fork_daemon

Events = list[dict[str, Any]]
_LONG_S = 90


@dataclass
class Host:
    """A machine that takes jobs: a configuration and folders of its own, no daemon."""

    folder: Path
    more: str = ""
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "config.toml").write_text(BASE.format(folder=self.folder) + self.more)
        give_probes(self.folder / "cache/probes", os.geteuid())

    def start(self, document: object, output: Path | None = None) -> "Job":
        """Begin to take a job; its events go to a file of its own unless `output` is given."""
        number = len(list(self.folder.glob("*.json")))
        spec = self.folder / f"{number}.json"
        spec.write_text(json.dumps(document))
        events = output or spec.with_suffix(".events")
        if output is None:
            events.touch()
        env = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "LANG": "C.UTF-8", **self.env}
        env["HUTCH_CONFIG"] = str(self.folder / "config.toml")
        words = ("job", "run", str(spec))
        return Job(fork_daemon(env, self.folder / "log", (), words, events), events)

    async def take(self, document: object) -> tuple[int, Events]:
        """Take a job to its end; its exit code and its events."""
        job = self.start(document)
        return await job.end(), job.told()

    @property
    def left(self) -> list[Path]:
        """What is left of jobs on this machine, beside volumes and logs of Hutch's own."""
        places = ("state/jobs/*", "state/runs/*", "d.sock.runs/*")
        return [path for place in places for path in self.folder.glob(place)]


@dataclass
class Job:
    """One that is taken."""

    process: ForkedDaemon
    events: Path

    def told(self) -> Events:
        """Its events so far: whole lines, numbered from 1 without a gap."""
        *lines, rest = self.events.read_bytes().split(b"\n")
        assert rest == b"" or self.process.returncode is None
        events = [json.loads(line) for line in lines]
        assert [event["n"] for event in events] == list(range(1, len(events) + 1))
        return events

    async def until(self, holds: Callable[[dict[str, Any]], bool]) -> None:
        """Wait for an event."""
        with anyio.fail_after(_LONG_S):
            while not any(map(holds, self.told())):
                assert self.process.returncode is None, self.told()
                await anyio.sleep(0.01)

    async def end(self, number: signal.Signals | None = None) -> int:
        """Wait for its end, after a signal if one is given; the exit code."""
        if number is not None:
            self.process.send_signal(number)
        with anyio.fail_after(_LONG_S):
            code = await self.process.wait()
        await self.process.aclose()
        return code


def of(events: Events, kind: str) -> Events:
    """The events of a kind."""
    return [event for event in events if event["kind"] == kind]


def written(events: Events, stream: str = "stdout") -> bytes:
    """What the command wrote, put together."""
    import base64

    data = b""
    for event in of(events, "output"):
        if event["stream"] == stream:
            assert event["start"] == len(data)
            data += event["text"].encode() if "text" in event else base64.b64decode(event["base64"])
    return data


def is_running(event: dict[str, Any]) -> bool:
    return bool(event["kind"] == "run" and event["run"]["status"] == "running")
