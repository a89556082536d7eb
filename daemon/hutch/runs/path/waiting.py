"""Waiting on a run that somebody else owns: bounded, and with signs of life."""

from pathlib import Path

import anyio

from hutch.runs.path.live import LiveRun
from hutch.runs.path.log import read_log
from hutch.supervisor import Stream
from hutch_mcp_tools.events import Events, RunEvent

_CHUNK = 64 * 1024  # bytes of output in one event
_STREAMS: tuple[Stream, ...] = ("stdout", "stderr")


async def wait_for(live: LiveRun, folder: Path, wait_s: float, events: Events | None) -> None:
    """Return when the run has ended or `wait_s` seconds are over; tell `events` what it writes until then.

    A follower reads the log on disk at its own pace, so that a slow one costs no memory and holds nobody up.
    """
    with anyio.move_on_after(wait_s):
        if events is None:
            await live.ended.wait()
        else:
            await _follow(live, folder, events)


async def _follow(live: LiveRun, folder: Path, events: Events) -> None:
    at = dict.fromkeys(_STREAMS, 0)
    note = ""
    while True:
        # Looked at before reading: what is written later is read in another round
        has_ended = live.ended.is_set()
        if live.note != note and not has_ended:
            note = live.note
            await events.send(RunEvent(run_id=live.id, note=live.now()))
        for stream in _STREAMS:
            at[stream] = await _catch_up(live, folder, stream, at[stream], events)
        if has_ended:
            return
        # Nothing is awaited between this look and the wait, so no growth is missed
        if live.note == note and not live.ended.is_set() and not _has_more(folder, at):
            await live.log.grown()


def _has_more(folder: Path, at: dict[Stream, int]) -> bool:
    return any(read_log(folder / stream, at[stream], 1)[0] for stream in _STREAMS)


async def _catch_up(live: LiveRun, folder: Path, stream: Stream, at: int, events: Events) -> int:
    while data := read_log(folder / stream, at, _CHUNK)[0]:
        await events.send(RunEvent(run_id=live.id, stream=stream, data=data))
        at += len(data)
    return at
