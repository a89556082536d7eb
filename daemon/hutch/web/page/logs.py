"""The end of what a run wrote, as text: an agent's as a story, anything else line by line."""

import base64
from collections.abc import Mapping

from hutch.agents import READINGS
from hutch.telling.story import told
from hutch_mcp_tools.run_records import LogRequest, RunRecord, Stream
from hutch_mcp_tools.service import SandboxService
from hutch_mcp_tools.text import harmless

_TAIL_BYTES = 64 << 10
_LINES = 200
_LINE = 1000  # characters


async def log_ends(
    service: SandboxService, run: RunRecord, agent: str | None, adapters: Mapping[str, str]
) -> dict[str, str]:
    """Return what is shown of each stream that holds anything; `adapters` of agents, by their names."""
    ends = {}
    for stream, size in (await log_sizes(service, run)).items():
        start = max(0, size - _TAIL_BYTES)
        chunk = await service.read_log(LogRequest(run_id=run.run_id, stream=stream, start=start))
        data = base64.b64decode(chunk.data_base64)
        whole = data.partition(b"\n")[2] if start else data  # the first line was cut
        reading = READINGS.get(adapters.get(agent or "", "")) if stream == "stdout" else None
        if reading:
            lines = [line for event in reading().feed(whole) for line in told(event)]
        else:
            lines = harmless(_settled(whole.decode("utf-8", "replace"))).splitlines()
        ends[stream] = "\n".join(line[:_LINE] for line in lines[-_LINES:])
    return {stream: text for stream, text in ends.items() if text}


async def log_sizes(service: SandboxService, run: RunRecord) -> dict[Stream, int]:
    """Return how many bytes each stream has by now; a record of a run at work may be behind."""
    sizes: dict[Stream, int] = {"stdout": run.stdout_bytes, "stderr": run.stderr_bytes}
    if not run.is_ended:
        for stream in sizes:
            sizes[stream] = (
                await service.read_log(LogRequest(run_id=run.run_id, stream=stream, limit=1))
            ).end
    return {} if run.log_let_go_at else sizes


def _settled(text: str) -> str:
    """Text without what its lines overwrote of themselves, as progress bars do."""
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
