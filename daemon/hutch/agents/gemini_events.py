"""What Gemini CLI says of a turn: its `stream-json` lines, read into events and one outcome."""

import json
import re
from collections.abc import Iterator

from hutch.agents.events import (
    AgentEvent,
    Ending,
    Erred,
    FileChanged,
    Outcome,
    Said,
    SessionNamed,
    Spent,
    ToolEnded,
    ToolStarted,
    Usage,
)
from hutch.agents.lines import LINE, TEXT, JsonLines, count_of, object_of, one_line, text_of
from hutch.agents.stored import is_uuid

_PATIENCE_S = 600.0  # for an answer of the model, with all its repetitions, of which nothing is said
_TRACKED = 4096  # calls that are remembered at once
_SUBJECT = {"run_shell_command": "command", "grep_search": "pattern", "glob": "pattern"}
_WRITES = ("write_file", "replace")
_STATUS = re.compile(r'"code":\s*(\d{3})\b')  # of HTTP, in the provider's own words within its message
_TURN_LIMIT, _NOT_RESUMED = 53, "Error resuming session"
_REFUSALS = (41, 42, 44, 52, 55)  # a key, an argument, a sandbox, a setting, a folder that it does not trust


class GeminiReading:
    """One turn. Texts come in pieces and are told whole; tokens come with the result, for this turn alone."""

    def __init__(self) -> None:
        self._lines = JsonLines()
        self._session_id: str | None = None
        self._model = ""
        self._pieces: list[str] = []  # of the message that is being said
        self._length = 0  # of these
        self._said = ""
        self._calls: dict[str, str] = {}  # those at work -> the path that it will have written, or nothing
        self._result: dict[str, object] | None = None

    @property
    def patience_s(self) -> float | None:
        return None if self._calls else _PATIENCE_S

    def feed(self, chunk: bytes) -> list[AgentEvent]:
        return [event for line in self._lines.feed(chunk) for event in self._read(line)]

    def finish(self, *, exit_code: int | None, stderr: str = "") -> Outcome:
        for line in self._lines.close():
            list(self._read(line))
        list(self._speak())
        ending = self._ending(exit_code, stderr)
        failure = object_of((self._result or {}).get("error"))
        told = text_of(failure.get("message"), 2000) or text_of(stderr.strip()[-2000:], 2000)
        return Outcome(
            ending,
            text=self._said,
            session_id=self._session_id,
            model=self._model,
            usage=self._usage,
            error="" if ending is Ending.DONE else told,
            api_status=_status(told, exit_code) if ending is Ending.API_ERROR else None,
            skipped_lines=self._lines.skipped,
        )

    @property
    def _usage(self) -> Usage:
        if self._result is None:
            return Usage(is_complete=False)
        stats = object_of(self._result.get("stats"))
        prompt, written = count_of(stats.get("input_tokens")), count_of(stats.get("output_tokens"))
        thought = max(0, count_of(stats.get("total_tokens")) - prompt - written)  # only the total has it
        return Usage(count_of(stats.get("input")), written + thought, count_of(stats.get("cached")))

    def _read(self, line: dict[str, object]) -> Iterator[AgentEvent]:
        kind = line.get("type")
        if kind == "message" and line.get("role") == "assistant":
            self._add(line.get("content"))
            return
        yield from self._speak()
        match kind:
            case "init":
                yield from self._init(line)
            case "tool_use":
                yield self._tool_call(line)
            case "tool_result":
                yield from self._tool_result(line)
            case "error":
                yield Erred(text_of(line.get("message"), 2000))
            case "result":
                yield from self._take_result(line)
            case _:
                pass

    def _add(self, piece: object) -> None:
        if (room := TEXT - self._length) and (text := text_of(piece, room)):
            self._pieces.append(text)
            self._length += len(text)

    def _speak(self) -> Iterator[AgentEvent]:
        if self._pieces:
            self._said, self._pieces, self._length = "".join(self._pieces), [], 0
            yield Said(self._said)

    def _init(self, line: dict[str, object]) -> Iterator[AgentEvent]:
        self._model = text_of(line.get("model"), LINE)
        if is_uuid(line.get("session_id")):
            self._session_id = str(line["session_id"])
            yield SessionNamed(self._session_id, self._model)

    def _tool_call(self, line: dict[str, object]) -> ToolStarted:
        call_id, tool = text_of(line.get("tool_id"), LINE), text_of(line.get("tool_name"), LINE)
        given = object_of(line.get("parameters"))
        if len(self._calls) < _TRACKED:
            self._calls[call_id] = text_of(given.get("file_path"), 4096) if tool in _WRITES else ""
        subject = given.get(_SUBJECT.get(tool, "file_path"))
        return ToolStarted(
            call_id, tool, one_line(subject if isinstance(subject, str) else json.dumps(given))
        )

    def _tool_result(self, line: dict[str, object]) -> Iterator[AgentEvent]:
        call_id, failed = text_of(line.get("tool_id"), LINE), line.get("status") == "error"
        said = object_of(line.get("error")).get("message") if failed else line.get("output")
        yield ToolEnded(call_id, failed, one_line(text_of(said, TEXT)))
        path = self._calls.pop(call_id, "")
        if path and not failed:
            yield FileChanged(path)

    def _take_result(self, line: dict[str, object]) -> Iterator[AgentEvent]:
        self._result = line
        self._calls.clear()
        models = object_of(object_of(line.get("stats")).get("models"))
        self._model = text_of(next(iter(models), ""), LINE) or self._model  # instead of a short name
        if line.get("status") != "success":
            message = text_of(object_of(line.get("error")).get("message"), 2000)
            yield Erred(message, _status(message))
        yield Spent(self._usage)

    def _ending(self, exit_code: int | None, stderr: str) -> Ending:
        ending = Ending.FAILED
        if exit_code == _TURN_LIMIT:
            ending = Ending.TURN_LIMIT
        elif self._result is not None and self._result.get("status") == "success":
            ending = Ending.DONE if exit_code == 0 else Ending.INTERRUPTED
        elif self._result is not None:  # its exit code is then that of HTTP, as far as it fits
            message = text_of(object_of(self._result.get("error")).get("message"), 2000)
            ending = Ending.API_ERROR if _status(message) or "API Error" in message else Ending.FAILED
        elif _NOT_RESUMED in stderr:
            ending = Ending.SESSION_UNKNOWN
        elif exit_code in _REFUSALS or (self._session_id is None and exit_code):
            ending = Ending.NOT_STARTED
        elif exit_code is None or exit_code > 128:
            ending = Ending.INTERRUPTED
        return ending


def _status(message: str, exit_code: int | None = None) -> int | None:
    """Return the status of HTTP behind a failure: its message has it, or else its exit code, modulo 256."""
    if found := _STATUS.search(message):
        return int(found[1])
    fits = (status for status in range(400, 600) if status % 256 == exit_code)
    return next(fits, None)
