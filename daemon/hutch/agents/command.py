"""`command`: any program as an agent, started by a template of words that the daemon's owner writes."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hutch.agents.adapter import GIVEN, AgentCommand, AgentTurn, Reading, invalid
from hutch.agents.command_events import CommandReading
from hutch.agents.given import (
    INSTRUCTIONS,
    SCHEMA,
    SERVERS,
    checked_model,
    given_files,
    hosts_of,
    prompt_with_instructions,
    refuse_unheld,
    schema_instructions,
    server_files,
)
from hutch.agents.stored import STATE, new_uuid, read_session
from hutch.errors import HutchError

_SKILLS = "skills"
_PROMPT = "prompt.md"
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_WORD_BYTES = 100 << 10  # the kernel takes 128 KiB
KNOWN = (
    *("prompt", "prompt_file", "session", "model", "base_url", "max_turns"),
    *("instructions_file", "skills", "mcp_file", "schema_file", "volume", "state"),
)

Template = tuple[str | tuple[str, ...], ...]  # words, and groups of words that go or stay together


@dataclass(frozen=True, slots=True)
class CommandAgent:
    """A program inside the sandbox. What its template does not name is told in the prompt, or refused."""

    name: str  # as configured: two programs have two conversations in one volume
    first: Template
    resume: Template = ()  # empty: no conversation goes on
    session_pattern: str = ""  # of an id in its output, as the first group; empty: it has none there
    base_url: str = ""

    def __post_init__(self) -> None:
        if not self.first:
            raise self._wrong("has no command", 'write its words: command = ["my-agent", "{prompt}"]')
        named = _named(self.first) | _named(self.resume)
        if unknown := sorted(named - set(KNOWN)):
            raise self._wrong(f"names {{{unknown[0]}}}", f"known: {', '.join(KNOWN)}")
        try:
            groups = re.compile(self.session_pattern).groups
        except re.error:
            groups = 0
        if self.session_pattern and groups != 1:
            raise self._wrong("has a session_pattern of no use", "it is a regular expression with one group")

    @property
    def secrets(self) -> tuple[str, ...]:
        return ()

    def new_session_id(self) -> str:
        its_own = "session" in _named(self.resume) and "session" not in _named(self.first)
        return "" if its_own else new_uuid()

    def command(self, turn: AgentTurn) -> AgentCommand:
        template = self.resume if turn.resumes else self.first
        named = _named(template)
        self._refuse(turn, named)
        given = given_files(turn, _SKILLS) | server_files(turn)
        prompt = _prompt(turn, named)
        if "prompt_file" in named:
            given[_PROMPT] = prompt.encode("utf-8", "replace")
        on_stdin = not named & {"prompt", "prompt_file"}
        return AgentCommand(
            argv=tuple(_filled(template, self._values(turn, prompt, given))),
            env={"TERM": "dumb"},
            stdin=prompt.encode("utf-8", "replace") if on_stdin else b"",
            given=given,
            bindings=(),
            hosts=hosts_of(turn, self.base_url),
            state={self.name: None},
        )

    def reading(self, turn: AgentTurn, folder: Path) -> Reading:
        return CommandReading(turn.model or "", self.session_pattern)

    def has_login(self, folder: Path) -> bool:
        return False

    def sessions(self, folder: Path) -> tuple[str, ...]:
        stored = read_session(folder) if self.resume else None
        return (stored.session_id,) if stored and stored.agent == self.name else ()

    def _refuse(self, turn: AgentTurn, named: set[str]) -> None:
        refuse_unheld(turn, self.name)
        asked = {
            "model": turn.model,
            "skills": turn.skills,
            "mcp_file": turn.servers,
            "max_turns": turn.max_turns,
        }
        for name, value in asked.items():
            if value and name not in named:
                key = "resume" if turn.resumes else "command"
                raise invalid(
                    f"{name} of {self.name}", f"let agents.{self.name}.{key} say where it goes: {{{name}}}"
                )

    def _values(self, turn: AgentTurn, prompt: str, given: Mapping[str, bytes]) -> dict[str, str]:
        """Return the placeholders that this turn has."""
        files = {
            "instructions_file": INSTRUCTIONS,
            "schema_file": SCHEMA,
            "mcp_file": SERVERS,
            "prompt_file": _PROMPT,
        }
        values = {
            "prompt": prompt,
            "session": turn.session_id,
            "model": checked_model(turn.model) if turn.model else "",
            "base_url": self.base_url,
            "max_turns": str(turn.max_turns or ""),
            "skills": str(GIVEN / _SKILLS) if turn.skills else "",
            "volume": str(turn.volume),
            "state": str(turn.volume / STATE / self.name),
            **{name: str(GIVEN / file) for name, file in files.items() if file in given},
        }
        return {name: value for name, value in values.items() if value}

    def _wrong(self, what: str, hint: str) -> HutchError:
        return HutchError("agent_invalid", f"agents.{self.name} {what}", hint)


def _prompt(turn: AgentTurn, named: set[str]) -> str:
    prompt = turn.prompt if "instructions_file" in named else prompt_with_instructions(turn)
    if turn.output_schema is not None and "schema_file" not in named:
        prompt = f"{prompt}\n\n{schema_instructions(turn.output_schema)}"
    return prompt


def _named(template: Template) -> set[str]:
    return {name for group in template for word in _words(group) for name in _PLACEHOLDER.findall(word)}


def _words(group: str | Sequence[str]) -> Sequence[str]:
    return (group,) if isinstance(group, str) else group


def _filled(template: Template, values: Mapping[str, str]) -> Iterator[str]:
    """Yield the words; a group that names what this turn has not is left out as a whole."""
    for group in template:
        words = _words(group)
        if all(name in values for word in words for name in _PLACEHOLDER.findall(word)):
            for word in words:
                filled = _PLACEHOLDER.sub(lambda found: values[found[1]], word)
                if "\0" in filled or len(filled.encode("utf-8", "replace")) > _WORD_BYTES:
                    raise invalid("a prompt of more than 100 KiB", "name {prompt_file} in place of {prompt}")
                yield filled
