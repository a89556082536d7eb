"""What a model reads of a run: a line for machines, its output within a budget, then what to do next."""

from datetime import UTC, datetime

from hutch_mcp_tools.agents_own import agents_own_last
from hutch_mcp_tools.excerpt import Excerpt, Log, Piece
from hutch_mcp_tools.hints import in_tools
from hutch_mcp_tools.network_text import passed_lines, refused_lines
from hutch_mcp_tools.run_records import RunRecord, Stream
from hutch_mcp_tools.service import SandboxService
from hutch_mcp_tools.text import json_string, one_line

STREAMS: tuple[Stream, Stream] = ("stdout", "stderr")
_PATHS_SHOWN = 20
_RECORDED_PATHS = 50  # a record names no more of the changed paths of a volume


_HINTS = {
    "timed_out": "it was ended at its deadline; give it more time by timeout_s",
    "oom": 'it had not enough memory; give it more by limits={"memory_bytes": …}',
    "pids": 'it was refused another process or thread; allow more by limits={"pids": …}, or run less at once',
    "disk_full": 'work in a volume, or give /tmp and the home folder more by limits={"disk_bytes": …}',
    "budget": "its budget was spent; go on with a new one by budget_usd",
    "output_limit": "it wrote more than its limit; write large output into a file of a volume",
}


async def whole_answer(service: SandboxService, run: RunRecord, max_output: int) -> str:
    """Both streams from their two ends."""
    sizes = (run.stdout_bytes, run.stderr_bytes)
    shown: dict[Stream, Excerpt] = {}
    for stream, size, budget in zip(STREAMS, sizes, shares(max_output, *sizes), strict=True):
        if (size or not run.is_ended) and not run.log_let_go_at:
            shown[stream] = await Log(service, run.run_id, stream).excerpt(budget)
    sections = [_section(run, stream, excerpt) for stream, excerpt in shown.items() if excerpt.size]
    cut = [stream for stream, excerpt in shown.items() if excerpt.bytes_left_out]
    body = sections or [_without_output(run)]
    return "".join([first_line(run), *body, *_closing(run, cut), _poll(run, shown)])


async def page_answer(
    service: SandboxService, run: RunRecord, stream: Stream, cursor: int, max_output: int
) -> str:
    """One stream from an offset on, with nothing left out."""
    log = Log(service, run.run_id, stream)
    piece = await log.page(cursor, max_output)
    return "".join([first_line(run), _paged(run, stream, piece, log.size), piece.text, *_closing(run, [])])


async def search_answer(
    service: SandboxService, run: RunRecord, streams: tuple[Stream, ...], words: str, start: int, budget: int
) -> str:
    """The matching lines of one stream or both."""
    parts = [first_line(run)]
    for stream in streams:
        log = Log(service, run.run_id, stream)
        piece = await log.search(words, start, budget // len(streams))
        more = "all of it searched"
        if piece.end < log.size:
            more = f"more: {_call(run, stream, piece.end, grep=words)}"
        parts.append(f"--- {stream} (matching {json_string(words, 200)}: ")
        parts.append(f"{_count(piece.lines, 'line')} by offset; {more}) ---\n{piece.text}")
    return "".join([*parts, f"note: around a line: {_call(run, streams[0], None, hint='its offset')}\n"])


def shares(budget: int, stdout_bytes: int, stderr_bytes: int) -> tuple[int, int]:
    """A fair division: neither stream can push the other out, and neither keeps what it does not need."""
    half = budget // 2
    spare = 64  # a log shown whole takes a newline and some backslashes more than its bytes
    stderr = min(stderr_bytes + spare, max(half, budget - stdout_bytes - spare))
    return budget - stderr, stderr


def first_line(run: RunRecord) -> str:
    """`name=value` pairs in a fixed order; a value that is free text is a JSON string."""
    duration = run.duration_s
    if duration is None and not run.is_ended:
        duration = max(0.0, (datetime.now(UTC) - run.created_at).total_seconds())
    pairs = {
        "exit_code": run.exit_code,
        "status": run.status,
        "duration": None if duration is None else f"{duration:.2f}s",
        "run": run.run_id,
        "session": run.session_id,
    }
    if run.queue_place is not None:
        pairs["queue_place"] = run.queue_place
    if run.signal is not None:
        pairs["signal"] = run.signal
    if run.reason:
        pairs["reason"] = json_string(in_tools(run.reason), 300)
    return " ".join(f"{name}={'none' if value is None else value}" for name, value in pairs.items()) + "\n"


def _workspace(run: RunRecord) -> list[str]:
    said = run.workspace
    paths = said.get("changed")
    if not isinstance(paths, list) or not paths:
        return []
    shown = ", ".join(one_line(str(path), 200) for path in paths[:_PATHS_SHOWN])
    if isinstance(count := said.get("changes"), int) and count > _PATHS_SHOWN:
        shown += f" and {count - _PATHS_SHOWN} others"
    where = f" (on branch {said['branch']})" if said.get("branch") else ""
    lines = [f"changed: workspace{where}: {shown}\n"]
    if review := said.get("review"):
        lines.append(f'note: these wait, the real folder is as it was: get_changes(review="{review}")\n')
    return lines


def _section(run: RunRecord, stream: Stream, excerpt: Excerpt) -> str:
    head, tail = excerpt.head, excerpt.tail
    if not excerpt.bytes_left_out:
        return f"--- {stream} ({_count(head.lines, 'line')}) ---\n{head.text}"
    shown = excerpt.size - excerpt.bytes_left_out
    lines = ""
    if excerpt.lines is not None:
        lines = f", {head.lines + tail.lines} of {excerpt.lines} lines"
    return (
        f"--- {stream} ({shown} of {excerpt.size} bytes{lines}) ---\n{head.text}"
        f"[…{excerpt.bytes_left_out} bytes left out; to read on: {_call(run, stream, head.end)}]\n{tail.text}"
    )


def _without_output(run: RunRecord) -> str:
    if run.log_let_go_at is None:
        return "(no output)\n"
    return f"(its {run.stdout_bytes + run.stderr_bytes} bytes of output were let go of, as old runs' are)\n"


def _paged(run: RunRecord, stream: Stream, piece: Piece, size: int) -> str:
    if piece.end < size:
        more = f"more: {_call(run, stream, piece.end)}"
    else:
        more = "that is all" if run.is_ended else "that is all so far"
    return f"--- {stream} (bytes {piece.start} to {piece.end} of {size}; {more}) ---\n"


def _closing(run: RunRecord, cut: list[Stream]) -> list[str]:
    lines = []
    for volume in sorted({*run.snapshots, *run.changed}):
        paths = agents_own_last(run.changed.get(volume, []))
        more = len(paths) - _PATHS_SHOWN
        shown = ", ".join(one_line(path, 200) for path in paths[:_PATHS_SHOWN])
        if more > 0:
            shown += f" and {more}{' or more' if len(paths) >= _RECORDED_PATHS else ''} others"
        snapshot = f" (snapshot {run.snapshots[volume]})" if volume in run.snapshots else ""
        lines.append(f"changed: volume {volume}{snapshot}: {shown or 'nothing listed'}\n")
    lines += _workspace(run)
    for volume, why in run.unsynced.items():
        lines.append(
            f"note: volume {volume}: the store has not its newest changes yet: {one_line(why, 300)}; "
            "they are kept on this machine, and stored when it takes them\n"
        )
    if narrowed := run.policy.get("narrowed"):
        said = "; ".join(map(str, narrowed)) if isinstance(narrowed, list) else str(narrowed)
        lines.append(f"policy: narrowed by {one_line(said, 500)}\n")
    if run.status in _HINTS and not (run.reason or "").startswith("quota_exceeded"):  # says itself what to do
        lines.append(f"note: {_HINTS[run.status]}\n")
    lines += passed_lines(run.traffic)
    lines += refused_lines(run.refused)
    if run.dropped_bytes:
        lines.append(f"note: {run.dropped_bytes} bytes of output beyond the log's limit were not kept\n")
    if cut:
        uris = ", ".join(f"hutch://runs/{run.run_id}/{stream}" for stream in cut)
        lines.append(f"full log: {uris}\n")
    return lines


def _poll(run: RunRecord, shown: dict[Stream, Excerpt]) -> str:
    if run.is_ended:
        return ""
    busier = max(shown, key=lambda stream: shown[stream].size)
    return (
        f'still running: get_run(run_id="{run.run_id}", wait_s=45) waits for its end; '
        f"{_call(run, busier, shown[busier].size)} shows only what comes; "
        f'stop_run(run_id="{run.run_id}") ends it\n'
    )


def _call(run: RunRecord, stream: Stream, cursor: int | None, *, grep: str = "", hint: str = "") -> str:
    """The call that shows the rest, ready to be made."""
    more = f", grep={json_string(grep, 200)}" if grep else ""
    return f'get_run(run_id="{run.run_id}", stream="{stream}", cursor={hint or cursor}{more})'


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
