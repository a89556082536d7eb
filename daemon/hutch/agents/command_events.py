"""What any program says of a turn: plain text, and lines of JSON for those that want to say more."""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from hutch.agents.events import (
    AgentEvent,
    Answered,
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
from hutch.agents.lines import LINE, TEXT, Lines, amount_of, count_of, object_in, one_line, text_of
from hutch.agents.stored import is_session_id

_SEARCHED = 1000  # characters of a line in which an id is looked for


class CommandReading:
    """One turn. Every line is text, unless it is one of the objects that docs/agents.md lists."""

    def __init__(self, model: str = "", session_pattern: str = "") -> None:
        self._lines = Lines()
        self._model = model
        self._pattern = re.compile(session_pattern) if session_pattern else None
        self._session_id: str | None = None
        self._plain: deque[str] = deque()  # the last lines
        self._length = 0  # of them
        self._message = ""  # the last text in an object
        self._error = Erred("")
        self._result: object = None
        self._usage = Usage(is_complete=False)

    @property
    def patience_s(self) -> float | None:
        return None  # nobody knows what it is at

    def feed(self, chunk: bytes) -> list[AgentEvent]:
        return [event for line in self._lines.feed(chunk) for event in self._read(line)]

    def finish(self, *, exit_code: int | None, stderr: str = "") -> Outcome:
        for line in self._lines.close():
            list(self._read(line))
        ending = _ending(exit_code)
        if ending is Ending.FAILED and self._error.status:
            ending = Ending.API_ERROR
        said = text_of(stderr.strip()[-2000:], 2000) or f"it exited with {exit_code}"
        return Outcome(
            ending,
            text=self._message or "\n".join(self._plain)[-TEXT:].strip(),
            session_id=self._session_id,
            model=self._model,
            usage=self._usage,
            error="" if ending is Ending.DONE else self._error.message or said,
            api_status=self._error.status,
            skipped_lines=self._lines.skipped,
            result=self._result,
        )

    def _read(self, line: bytes) -> Iterator[AgentEvent]:
        if self._pattern and not self._session_id:
            found = self._pattern.search(line.decode("utf-8", "replace")[:_SEARCHED])
            yield from self._named(found[1] if found else None)
        said = object_in(line) if line.startswith(b"{") else None
        event = _event(said) if said else None
        if said is None or event is None:
            text = text_of(line.decode("utf-8", "replace"), TEXT)
            self._keep(text)
            yield Said(text)
            return
        if isinstance(event, SessionNamed):
            yield from self._named(event.session_id)
            return
        self._note(event)
        yield event

    def _keep(self, text: str) -> None:
        self._plain.append(text)
        self._length += len(text)
        while self._length - len(self._plain[0]) > TEXT or len(self._plain) > TEXT:
            self._length -= len(self._plain.popleft())

    def _named(self, session_id: str | None) -> Iterator[AgentEvent]:
        if is_session_id(session_id) and self._session_id is None:
            self._session_id = session_id
            yield SessionNamed(session_id or "", self._model)

    def _note(self, event: AgentEvent) -> None:
        match event:
            case Said(text):
                self._message = text
            case Spent(usage):
                self._usage = usage
            case Erred():
                self._error = event
            case Answered(result):
                self._result = result
            case _:
                pass


def _event(said: dict[str, object]) -> AgentEvent | None:
    """Return the event that an object tells; None: it tells none of ours."""
    match said.get("type"):
        case "session":
            return SessionNamed(text_of(said.get("session_id"), LINE), "")
        case "text":
            return Said(text_of(said.get("text"), TEXT))
        case "usage":
            return Spent(_usage(said))
        case "error":
            return Erred(one_line(text_of(said.get("message"), TEXT)), count_of(said.get("status")) or None)
        case "result":
            return Answered(said.get("result"))
        case _:
            return _of_tools(said)


def _of_tools(said: dict[str, object]) -> AgentEvent | None:
    call_id, summary = text_of(said.get("id"), LINE), one_line(text_of(said.get("summary"), TEXT))
    match said.get("type"):
        case "tool_started":
            return ToolStarted(call_id, text_of(said.get("tool"), LINE), summary)
        case "tool_ended":
            return ToolEnded(call_id, said.get("failed") is True, summary)
        case "file_changed":
            return FileChanged(text_of(said.get("path"), 4096))
        case _:
            return None


def _usage(said: dict[str, object]) -> Usage:
    usage = Usage(cost_usd=amount_of(said.get("cost_usd")))
    names = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
    return replace(usage, **{name: count_of(said.get(name)) for name in names})  # type: ignore[arg-type]


def _ending(exit_code: int | None) -> Ending:
    if exit_code is None or exit_code > 128:  # 128 + a signal, where another process passed it on
        return Ending.INTERRUPTED
    if exit_code in (126, 127):  # it could not be started
        return Ending.NOT_STARTED
    return Ending.FAILED if exit_code else Ending.DONE
