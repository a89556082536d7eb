"""What OpenCode says of a turn: the lines of `run --format json`, read into events and one outcome."""

import json
import re
from collections.abc import Iterator

from hutch.agents.events import (
    AgentEvent,
    Ending,
    Erred,
    FileChanged,
    Outcome,
    PermissionAsked,
    Said,
    SessionNamed,
    Spent,
    ToolEnded,
    ToolStarted,
    Usage,
)
from hutch.agents.lines import (
    LINE,
    TEXT,
    JsonLines,
    amount_of,
    count_of,
    object_of,
    one_line,
    text_of,
)

# A model that does not answer is asked again for a minute or two, and nothing is said of it.
_PATIENCE_S = 600.0
_SESSION_ID = re.compile(r"ses_[A-Za-z0-9]{10,60}", re.ASCII)
_SUBJECT = {"bash": "command", "grep": "pattern", "glob": "pattern", "task": "description", "skill": "name"}
_WRITES = ("write", "edit")
_REJECTED = "rejected permission"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_ENDINGS = {
    "APIError": Ending.API_ERROR,
    "ProviderAuthError": Ending.API_ERROR,
    "MessageAbortedError": Ending.INTERRUPTED,
}


def is_opencode_id(text: object) -> bool:
    """Whether this has the form of OpenCode's own ids."""
    return isinstance(text, str) and _SESSION_ID.fullmatch(text) is not None


class OpenCodeReading:
    """One turn. No event is the last: what the newest step ended with says whether it is done.

    A tool call is told when it has ended. Each answer of the model comes with its tokens, but those of an
    agent that this one starts (`task`) do not: the sum is then a lower bound.
    """

    def __init__(self, model: str = "") -> None:
        self._lines = JsonLines()
        self._model = model
        self._session_id: str | None = None
        self._said = ""
        self._usage = Usage(cost_usd=0.0)
        self._reason = ""  # why the newest step ended; empty: it has not
        self._has_begun = False
        self._error: dict[str, object] | None = None
        self._denied = 0

    @property
    def patience_s(self) -> float | None:
        is_in_step = self._has_begun and not self._reason  # commands may be at work, and say nothing
        return None if is_in_step else _PATIENCE_S

    def feed(self, chunk: bytes) -> list[AgentEvent]:
        return [event for line in self._lines.feed(chunk) for event in self._read(line)]

    def finish(self, *, exit_code: int | None, stderr: str = "") -> Outcome:
        for line in self._lines.close():
            list(self._read(line))
        ending, error = self._ending(exit_code, stderr), self._error or {}
        complaint = "" if ending is Ending.DONE else _message(error) or _plain(stderr)
        return Outcome(
            ending,
            text=self._said,
            session_id=self._session_id,
            model=self._model,
            usage=self._figures(is_whole=ending is not Ending.INTERRUPTED),
            error=complaint or ("" if ending is Ending.DONE else self._unsaid()),
            api_status=_status(error) if ending is Ending.API_ERROR else None,
            denied=self._denied,
            skipped_lines=self._lines.skipped,
        )

    def _read(self, line: dict[str, object]) -> Iterator[AgentEvent]:
        session_id = line.get("sessionID")
        if self._session_id is None and is_opencode_id(session_id):
            self._session_id = str(session_id)
            yield SessionNamed(self._session_id, self._model)
        part = object_of(line.get("part"))
        match line.get("type"):
            case "step_start":
                self._has_begun, self._reason, self._error = True, "", None
            case "text":
                self._said = text_of(part.get("text"), TEXT)
                yield Said(self._said)
            case "tool_use":
                yield from self._tool(part)
            case "step_finish":
                self._reason = text_of(part.get("reason"), LINE) or "unknown"
                self._add(part)
                yield Spent(self._figures(is_whole=True))
            case "error":
                self._error = object_of(line.get("error"))
                yield Erred(_message(self._error), _status(self._error))
            case _:
                pass

    def _tool(self, part: dict[str, object]) -> Iterator[AgentEvent]:
        call_id, tool = text_of(part.get("callID"), LINE), text_of(part.get("tool"), LINE)
        state = object_of(part.get("state"))
        given, failed = object_of(state.get("input")), state.get("status") == "error"
        subject = given.get(_SUBJECT.get(tool, "filePath"))
        summary = one_line(subject if isinstance(subject, str) else json.dumps(given))
        said = text_of(state.get("error" if failed else "output"), TEXT)
        yield ToolStarted(call_id, tool, summary)
        if failed and _REJECTED in said:
            self._denied += 1
            yield PermissionAsked(tool, summary)
        yield ToolEnded(call_id, failed or tool == "invalid", one_line(said))
        if tool == "task":
            self._usage = _sum(self._usage, Usage(cost_usd=0.0, is_complete=False))
        if tool in _WRITES and not failed:
            yield FileChanged(text_of(given.get("filePath"), 4096))

    def _add(self, part: dict[str, object]) -> None:
        tokens = object_of(part.get("tokens"))
        cache = object_of(tokens.get("cache"))
        figures = Usage(
            count_of(tokens.get("input")),
            count_of(tokens.get("output")) + count_of(tokens.get("reasoning")),
            count_of(cache.get("read")),
            count_of(cache.get("write")),
            amount_of(part.get("cost")) or None,  # nothing: its list has no price of this model
        )
        self._usage = _sum(self._usage, figures)

    def _figures(self, *, is_whole: bool) -> Usage:
        """What was used; where a step was cut off, its own share is missing."""
        return self._usage if is_whole else _sum(self._usage, Usage(is_complete=False))

    def _ending(self, exit_code: int | None, stderr: str) -> Ending:
        ending = Ending.FAILED
        if exit_code is None or exit_code > 128:
            ending = Ending.INTERRUPTED
        elif self._error is not None:
            name = text_of(self._error.get("name"), LINE)
            ending = _ENDINGS.get(name, Ending.API_ERROR if _status(self._error) else Ending.FAILED)
        elif self._reason == "stop" and exit_code == 0:
            ending = Ending.DONE
        elif "Session not found" in stderr:
            ending = Ending.SESSION_UNKNOWN
        elif not self._has_begun:
            ending = Ending.NOT_STARTED
        return ending

    def _unsaid(self) -> str:
        if self._denied:
            return "its own rules kept a tool call, and it gave up"
        return f"it ended without an answer, after: {self._reason}" if self._reason else ""


def _sum(one: Usage, other: Usage) -> Usage:
    unknown = one.cost_usd is None or other.cost_usd is None
    return Usage(
        one.input_tokens + other.input_tokens,
        one.output_tokens + other.output_tokens,
        one.cache_read_tokens + other.cache_read_tokens,
        one.cache_write_tokens + other.cache_write_tokens,
        None if unknown else (one.cost_usd or 0.0) + (other.cost_usd or 0.0),
        one.is_complete and other.is_complete,
    )


def _message(error: dict[str, object]) -> str:
    data = object_of(error.get("data"))
    return text_of(data.get("message"), 2000) or text_of(error.get("name"), LINE)


def _status(error: dict[str, object]) -> int | None:
    if error.get("name") == "ProviderAuthError":  # a key that is missing or wrong; it was not asked for more
        return 401
    return count_of(object_of(error.get("data")).get("statusCode")) or None


def _plain(stderr: str) -> str:
    return text_of(_COLOUR.sub("", stderr).strip()[-2000:], 2000)
