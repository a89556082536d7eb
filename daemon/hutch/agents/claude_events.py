"""What Claude Code says of a turn: its `stream-json` lines, read into events and one outcome."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace

from hutch.agents.events import (
    AgentEvent,
    Answered,
    Ending,
    Erred,
    FileChanged,
    Outcome,
    PermissionAsked,
    Retrying,
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
    objects_of,
    one_line,
    text_of,
)
from hutch.agents.stored import is_uuid

_TRACKED = 4096  # calls and messages that are remembered at once; beyond, figures stay a lower bound
_SUBJECT = {"Bash": "command", "Grep": "pattern", "Glob": "pattern", "Task": "description", "Skill": "skill"}
_WRITES = {"Write": "file_path", "Edit": "file_path", "NotebookEdit": "notebook_path"}
_LIMITS = {"error_max_turns": Ending.TURN_LIMIT, "error_max_budget_usd": Ending.BUDGET}
_NO_USAGE = Usage(cost_usd=0.0)


class ClaudeReading:
    """One turn. It may give several results, as when a background command wakes it: the last one counts.

    Usage is the sum over the results of this process: `total_cost_usd` and `modelUsage` cover the whole
    conversation, while `model_usage_since_last_result` is what each result adds.
    """

    def __init__(self) -> None:
        self._lines = JsonLines()
        self._session_id: str | None = None
        self._model = ""
        self._said = ""
        self._result: dict[str, object] | None = None
        self._works = False  # something came after the last result
        self._reported = _NO_USAGE
        self._unreported: dict[str, Usage] = {}  # by message id, since the last result
        self._is_keyless = False  # it has no credential, and so has asked nobody: no status of HTTP says it
        self._writing: dict[str, str] = {}  # call id -> the path it will have written

    @property
    def patience_s(self) -> float | None:
        return None  # its calls of the model have a bound of their own

    def feed(self, chunk: bytes) -> list[AgentEvent]:
        return [event for line in self._lines.feed(chunk) for event in self._read(line)]

    def finish(self, *, exit_code: int | None, stderr: str = "") -> Outcome:
        for line in self._lines.close():
            list(self._read(line))
        result = self._result or {}
        ending = self._ending(exit_code)
        return Outcome(
            ending,
            text=(text_of(result.get("result"), TEXT) if ending is Ending.DONE else "") or self._said,
            session_id=self._session_id,
            model=self._model,
            usage=self._usage,
            error="" if ending is Ending.DONE else _error(result) or text_of(stderr.strip()[-2000:], 2000),
            api_status=count_of(result.get("api_error_status")) or (401 if self._is_keyless else None),
            denied=len(objects_of(result.get("permission_denials"))),
            skipped_lines=self._lines.skipped,
            result=result.get("structured_output"),
        )

    @property
    def _usage(self) -> Usage:
        if not self._works:
            return self._reported
        total = _sum([self._reported, *self._unreported.values()])
        return replace(total, cost_usd=None, is_complete=False)

    def _read(self, line: dict[str, object]) -> Iterator[AgentEvent]:
        match line.get("type"), line.get("subtype"):
            case "system", "init":
                yield from self._init(line)
            case "system", "api_retry":
                yield _retry(line)
            case "assistant", _:
                yield from self._assistant(line)
            case "user", _:
                yield from self._tool_results(line)
            case "result", _:
                yield from self._take_result(line)
            case _:
                pass

    def _init(self, line: dict[str, object]) -> Iterator[AgentEvent]:
        self._works = True
        self._model = text_of(line.get("model"), LINE)
        if self._name(line):
            yield SessionNamed(self._session_id or "", self._model)
            for server in objects_of(line.get("mcp_servers"))[:_TRACKED]:
                if server.get("status") == "failed":  # it goes on without it
                    yield Erred(f"the MCP server {text_of(server.get('name'), LINE)} did not start")

    def _name(self, line: dict[str, object]) -> bool:
        """Take a line's session id; whether it is news."""
        session_id = line.get("session_id")
        if not is_uuid(session_id) or session_id == self._session_id:
            return False
        self._session_id = str(session_id)
        return True

    def _assistant(self, line: dict[str, object]) -> Iterator[AgentEvent]:
        self._works = True
        message = object_of(line.get("message"))
        if message.get("model") == "<synthetic>":  # its own words about an error; the result has them
            self._is_keyless = line.get("error") == "authentication_failed"
            return
        for block in objects_of(message.get("content")):
            if block.get("type") == "text" and line.get("parent_tool_use_id") is None:
                self._said = text_of(block.get("text"), TEXT)
                yield Said(self._said)
            elif block.get("type") == "tool_use":
                yield self._tool_call(block)
        message_id = text_of(message.get("id"), LINE)
        if message_id not in self._unreported and len(self._unreported) < _TRACKED:
            self._unreported[message_id] = _tokens(object_of(message.get("usage")))
            yield Spent(self._usage)

    def _tool_call(self, block: dict[str, object]) -> ToolStarted:
        call_id, tool = text_of(block.get("id"), LINE), text_of(block.get("name"), LINE)
        given = object_of(block.get("input"))
        if tool in _WRITES and len(self._writing) < _TRACKED:
            self._writing[call_id] = text_of(given.get(_WRITES[tool]), 4096)
        subject = given.get(_SUBJECT.get(tool, "file_path"))
        summary = subject if isinstance(subject, str) else json.dumps(given)
        return ToolStarted(call_id, tool, one_line(summary))

    def _tool_results(self, line: dict[str, object]) -> Iterator[AgentEvent]:
        for block in objects_of(object_of(line.get("message")).get("content")):
            if block.get("type") != "tool_result":
                continue
            call_id, failed = text_of(block.get("tool_use_id"), LINE), block.get("is_error") is True
            yield ToolEnded(call_id, failed, one_line(_flat(block.get("content"))))
            path = self._writing.pop(call_id, "")
            if path and not failed:
                yield FileChanged(path)

    def _take_result(self, line: dict[str, object]) -> Iterator[AgentEvent]:
        self._result, self._works = line, False
        self._name(line)
        self._reported = _sum([self._reported, _result_usage(line)])
        self._unreported.clear()
        for denial in objects_of(line.get("permission_denials"))[:_TRACKED]:
            given = json.dumps(object_of(denial.get("tool_input")))
            yield PermissionAsked(text_of(denial.get("tool_name"), LINE), one_line(given))
        if "structured_output" in line:
            yield Answered(line["structured_output"])
        if line.get("is_error") is True:
            yield Erred(_error(line), count_of(line.get("api_error_status")) or None)
        yield Spent(self._reported)

    def _ending(self, exit_code: int | None) -> Ending:
        # A signal is None, or 128 + its number where another process passed it on.
        by_signal = exit_code is None or exit_code > 128
        if self._result is None:
            if by_signal:
                return Ending.INTERRUPTED
            return Ending.FAILED if self._works else Ending.NOT_STARTED
        if self._works and by_signal:
            return Ending.INTERRUPTED
        return _classify(self._result)


def _classify(result: dict[str, object]) -> Ending:
    subtype, reason = text_of(result.get("subtype"), LINE), text_of(result.get("terminal_reason"), LINE)
    ending = Ending.FAILED
    if subtype == "success" and result.get("is_error") is False:
        ending = Ending.DONE
    elif subtype in _LIMITS:
        ending = _LIMITS[subtype]
    elif result.get("startup_failure_reason"):
        ending = Ending.NOT_STARTED
    elif reason.startswith("aborted"):
        ending = Ending.INTERRUPTED
    elif reason == "api_error" or result.get("api_error_status"):
        ending = Ending.API_ERROR
    elif "No conversation found" in _error(result):
        ending = Ending.SESSION_UNKNOWN
    return ending


def _error(result: dict[str, object]) -> str:
    errors = result.get("errors")
    said = [text_of(error, 2000) for error in errors] if isinstance(errors, list) else []
    for_people = "; ".join(text for text in said if not text.startswith("[ede_diagnostic]"))
    return text_of(for_people or result.get("result"), 2000)


def _retry(line: dict[str, object]) -> Retrying:
    return Retrying(
        attempt=count_of(line.get("attempt")),
        of=count_of(line.get("max_retries")),
        wait_s=count_of(line.get("retry_delay_ms")) / 1000,
        status=count_of(line.get("error_status")) or None,
        message=one_line(text_of(line.get("error"), LINE)),
    )


def _tokens(usage: dict[str, object]) -> Usage:
    return Usage(
        count_of(usage.get("input_tokens")),
        count_of(usage.get("output_tokens")),
        count_of(usage.get("cache_read_input_tokens")),
        count_of(usage.get("cache_creation_input_tokens")),
    )


def _result_usage(result: dict[str, object]) -> Usage:
    """Return what was spent since the last result."""
    by_model = result.get("model_usage_since_last_result")
    if not isinstance(by_model, dict):  # older, or it never began
        tokens = _tokens(object_of(result.get("usage")))
        return tokens if any((tokens.input_tokens, tokens.output_tokens)) else _NO_USAGE
    return _sum([_NO_USAGE, *(_model_usage(object_of(figures)) for figures in by_model.values())])


def _model_usage(figures: dict[str, object]) -> Usage:
    # An unknown model is priced as if it were the default one; only this tells.
    is_priced = figures.get("costBasis") == "list"
    return Usage(
        count_of(figures.get("inputTokens")),
        count_of(figures.get("outputTokens")),
        count_of(figures.get("cacheReadInputTokens")),
        count_of(figures.get("cacheCreationInputTokens")),
        amount_of(figures.get("costUSD")) if is_priced else None,
    )


def _sum(parts: list[Usage]) -> Usage:
    costs = [part.cost_usd for part in parts]
    known = [cost for cost in costs if cost is not None]
    return Usage(
        sum(part.input_tokens for part in parts),
        sum(part.output_tokens for part in parts),
        sum(part.cache_read_tokens for part in parts),
        sum(part.cache_write_tokens for part in parts),
        math.fsum(known) if len(known) == len(costs) else None,
    )


def _flat(content: object) -> str:
    if isinstance(content, str):
        return content
    return " ".join(text_of(block.get("text"), LINE) for block in objects_of(content)[:10])
