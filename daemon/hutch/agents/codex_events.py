"""What Codex says of a turn: the lines of `codex exec --json`, read into events and one outcome."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace

from hutch.agents.events import (
    AgentEvent,
    Ending,
    Erred,
    FileChanged,
    Outcome,
    Retrying,
    Said,
    SessionNamed,
    Spent,
    ToolEnded,
    ToolStarted,
    Usage,
)
from hutch.agents.lines import LINE, TEXT, JsonLines, count_of, object_of, objects_of, one_line, text_of
from hutch.agents.stored import is_uuid

_STATUS = re.compile(r"\bstatus:? (\d{3})\b")
_RETRY = re.compile(r"Reconnecting\.\.\. (\d{1,3})/(\d{1,3}) \((.*)\)", re.DOTALL)
_WAITS = "Reconnecting... waiting for network"
# It waits for ever where its model's host takes no connection
_PATIENCE_S = 60.0
_SHELLS = {"bash", "sh", "zsh"}
_TOOLS = {"command_execution": "shell", "file_change": "apply_patch", "web_search": "web_search"}


class CodexReading:
    """One turn. Its usage is what the thread's total has grown by since `before`."""

    def __init__(self, model: str = "", before: Usage | None = None) -> None:
        self._lines = JsonLines()
        self._model = model
        self._before = before or Usage()
        self._session_id: str | None = None
        self._said = ""
        self._error = ""
        self._status: int | None = None
        self._end = ""  # "turn.completed" or "turn.failed"
        self._begun = False
        self._waits = False  # for a network, and has said nothing else since
        self._usage = Usage(is_complete=False)

    @property
    def patience_s(self) -> float | None:
        return _PATIENCE_S if self._waits else None

    def feed(self, chunk: bytes) -> list[AgentEvent]:
        return [event for line in self._lines.feed(chunk) for event in self._read(line)]

    def finish(self, *, exit_code: int | None, stderr: str = "") -> Outcome:
        for line in self._lines.close():
            list(self._read(line))
        said = text_of(stderr.strip()[-2000:], 2000)
        ending = self._ending(exit_code, said)
        return Outcome(
            ending,
            text=self._said,
            session_id=self._session_id,
            model=self._model,
            usage=self._usage,
            error="" if ending is Ending.DONE else self._error or said,
            api_status=self._status if ending is Ending.API_ERROR else None,
            skipped_lines=self._lines.skipped,
        )

    def _read(self, line: dict[str, object]) -> Iterator[AgentEvent]:
        kind = line.get("type")
        self._waits = False
        match kind:
            case "thread.started" if is_uuid(line.get("thread_id")):
                self._session_id = text_of(line.get("thread_id"), LINE)
                yield SessionNamed(self._session_id, self._model)
            case "turn.started":
                self._begun, self._end = True, ""
            case "item.started" | "item.completed":
                yield from self._item(object_of(line.get("item")), is_over=kind == "item.completed")
            case "error":
                yield self._take_error(text_of(line.get("message"), 2000))
            case "turn.completed":
                self._end = "turn.completed"
                self._usage = _grown(_tokens(object_of(line.get("usage"))), self._before)
                yield Spent(self._usage)
            case "turn.failed":
                self._end = "turn.failed"
                self._take_error(text_of(object_of(line.get("error")).get("message"), 2000))
            case _:
                pass

    def _item(self, item: dict[str, object], *, is_over: bool) -> Iterator[AgentEvent]:
        kind, call_id = text_of(item.get("type"), LINE), text_of(item.get("id"), LINE)
        if kind == "agent_message" and is_over:
            self._said = text_of(item.get("text"), TEXT)
            yield Said(self._said)
        elif kind == "error" and is_over:
            yield Erred(one_line(text_of(item.get("message"), 2000)))
        elif kind == "mcp_tool_call":
            tool = f"mcp__{text_of(item.get('server'), 80)}__{text_of(item.get('tool'), 80)}"
            yield from self._tool(item, call_id, tool, is_over=is_over)
        elif kind in _TOOLS:
            yield from self._tool(item, call_id, _TOOLS[kind], is_over=is_over)

    def _tool(
        self, item: dict[str, object], call_id: str, tool: str, *, is_over: bool
    ) -> Iterator[AgentEvent]:
        if not is_over:
            yield ToolStarted(call_id, tool, one_line(_subject(item)))
            return
        failed = item.get("status") not in ("completed", None)
        yield ToolEnded(call_id, failed, one_line(_told(item)))
        if item.get("type") == "file_change" and not failed:
            for change in objects_of(item.get("changes"))[:100]:
                yield FileChanged(text_of(change.get("path"), 4096))

    def _take_error(self, message: str) -> AgentEvent:
        found = _STATUS.search(message)
        self._status = int(found[1]) if found else None
        if retry := _RETRY.fullmatch(message):
            self._error = one_line(retry[3])
            return Retrying(int(retry[1]), int(retry[2]), 0.0, self._status, self._error)
        self._waits = message.startswith(_WAITS)
        if message.startswith("{"):  # the body of a refusal, which is passed on for 400 alone
            message = _inner(message)
            self._status = 400
        self._error = one_line(message)
        return Erred(self._error, self._status)

    def _ending(self, exit_code: int | None, stderr: str) -> Ending:
        # A signal is None, or 128 + its number where another process passed it on.
        by_signal = exit_code is None or exit_code > 128
        if self._end:
            return Ending.API_ERROR if self._end == "turn.failed" else _done(exit_code)
        if by_signal or self._begun:  # an interruption is told by nothing but exit code 1
            return Ending.INTERRUPTED
        return Ending.SESSION_UNKNOWN if "no rollout found" in stderr else Ending.NOT_STARTED


def thread_total(rollout: bytes) -> Usage | None:
    """Return the last count of tokens in the end of a rollout; None: there is none."""
    for raw in reversed(rollout.splitlines()):
        if b'"token_count"' not in raw:
            continue
        try:
            payload = object_of(object_of(json.loads(raw)).get("payload"))
        except (ValueError, RecursionError):
            continue
        total = object_of(payload.get("info")).get("total_token_usage")
        if payload.get("type") == "token_count" and isinstance(total, dict):
            return _tokens(total)
    return None


def _done(exit_code: int | None) -> Ending:
    return Ending.DONE if exit_code == 0 else Ending.INTERRUPTED if exit_code is None else Ending.FAILED


def _tokens(usage: dict[str, object]) -> Usage:
    cached, written = (
        count_of(usage.get("cached_input_tokens")),
        count_of(usage.get("cache_write_input_tokens")),
    )
    fresh = max(0, count_of(usage.get("input_tokens")) - cached - written)  # which it includes
    return Usage(fresh, count_of(usage.get("output_tokens")), cached, written)


def _grown(total: Usage, before: Usage) -> Usage:
    if not before.is_complete:
        return Usage(is_complete=False)
    return replace(
        total,
        input_tokens=max(0, total.input_tokens - before.input_tokens),
        output_tokens=max(0, total.output_tokens - before.output_tokens),
        cache_read_tokens=max(0, total.cache_read_tokens - before.cache_read_tokens),
        cache_write_tokens=max(0, total.cache_write_tokens - before.cache_write_tokens),
    )


def _subject(item: dict[str, object]) -> str:
    if "command" in item:
        return _bare(text_of(item.get("command"), TEXT))
    if "changes" in item:
        return ", ".join(text_of(change.get("path"), LINE) for change in objects_of(item["changes"])[:10])
    return text_of(item.get("query"), TEXT) or json.dumps(object_of(item.get("arguments")))


def _bare(command: str) -> str:
    """Return what a shell is told to run, without the shell."""
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    is_shell = len(words) == 3 and words[0].rpartition("/")[2] in _SHELLS and words[1] in ("-lc", "-c")
    return words[2] if is_shell else command


def _told(item: dict[str, object]) -> str:
    if "aggregated_output" in item:
        return text_of(item.get("aggregated_output"), TEXT)
    error = text_of(object_of(item.get("error")).get("message"), LINE)
    content = objects_of(object_of(item.get("result")).get("content"))
    return error or " ".join(text_of(block.get("text"), LINE) for block in content[:10])


def _inner(message: str) -> str:
    try:
        error = object_of(object_of(json.loads(message)).get("error"))
    except (ValueError, RecursionError):
        return message
    return text_of(error.get("message"), 2000) or message
