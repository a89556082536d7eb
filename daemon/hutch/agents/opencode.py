"""OpenCode: its binary, its command line and configuration, and where it keeps its conversations."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hutch.agents.adapter import GIVEN, AgentCommand, AgentTurn, Binding, McpServer, Reading, invalid
from hutch.agents.beneath import has_file
from hutch.agents.binary import native_binary, on_path
from hutch.agents.given import (
    INSTRUCTIONS,
    checked_model,
    checked_servers,
    endpoint,
    given_files,
    hosts_of,
    refuse_unheld,
    with_schema_told,
)
from hutch.agents.opencode_events import OpenCodeReading, is_opencode_id
from hutch.agents.opencode_store import stored_sessions
from hutch.agents.stored import STATE

_INSIDE = PurePosixPath("/opt/agent/opencode")
_DATA = "opencode"  # in the volume's state folder; it makes a folder of its name in there
_STATE = (STATE, _DATA, "opencode")
_SKILLS = "skills"
_LOGIN = "auth.json"
_INSTALL = "npm install -g opencode-ai, or name its native binary in agents.opencode.command"
_DEFAULT_MODEL = "anthropic/claude-opus-5-5"
_PROVIDERS = {  # where those are that it knows by itself, and the variable of their key
    "anthropic": ("https://api.anthropic.com/v1", "ANTHROPIC_API_KEY"),
    "openai": ("https://api.openai.com/v1", "OPENAI_API_KEY"),
    "google": ("https://generativelanguage.googleapis.com/v1beta", "GEMINI_API_KEY"),
    "openrouter": ("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "opencode": ("https://opencode.ai/zen/v1", "OPENCODE_API_KEY"),
    "mistral": ("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "deepseek": ("https://api.deepseek.com", "DEEPSEEK_API_KEY"),
    "xai": ("https://api.x.ai/v1", "XAI_API_KEY"),
    "groq": ("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
}
# Of any other, a gateway that speaks as OpenAI does
_OWN_KEY, _ANY_GATEWAY = "OPENAI_API_KEY", "@ai-sdk/openai-compatible"
_TITLE = "Hutch"  # without one it asks the model for one, and no event tells of that
_ENV = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",  # then it talks to its model and to nobody else
    "PWD": "",  # it takes this for its folder, whatever the folder is; of nothing it looks where it is
    "TERM": "dumb",
    "XDG_CONFIG_HOME": str(GIVEN / "config"),
}
# Where it may write its configuration, it asks npm's registry for a package to put beside that
_CONFIG_HOME = {"config/opencode/.gitignore": b"*\n"}


@dataclass(frozen=True, slots=True)
class OpenCode:
    """The native binary, run headless with every permission given: the sandbox is the boundary.

    Tried with 1.18.33.
    """

    binary: Path  # resolved: no part of it is a link
    base_url: str = ""  # of its model's provider; empty: the provider's own

    def __post_init__(self) -> None:
        if self.base_url:
            endpoint(self.base_url)

    @classmethod
    def find(cls, configured: Path | None = None, base_url: str = "") -> "OpenCode":
        """Locate the binary: as configured, else on PATH.

        Raises HutchError `agent_missing`, `agent_invalid`.
        """
        return cls(native_binary("OpenCode", _INSTALL, configured, on_path("opencode")), base_url)

    @property
    def name(self) -> str:
        return "opencode"

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(variable for _, variable in _PROVIDERS.values())

    def command(self, turn: AgentTurn) -> AgentCommand:
        refuse_unheld(turn, "OpenCode")
        provider, model = _model(turn)
        turn = with_schema_told(turn)
        return AgentCommand(
            argv=(str(_INSIDE), *_arguments(turn, f"{provider}/{model}")),
            env={
                **_ENV,
                "OPENCODE_CONFIG_CONTENT": json.dumps(self._config(turn, provider, model)),
                "XDG_DATA_HOME": str(turn.volume / STATE / _DATA),
            },
            stdin=turn.prompt.encode("utf-8", "replace"),
            given=given_files(turn, _SKILLS) | _CONFIG_HOME,
            bindings=(Binding(self.binary, _INSIDE),),
            hosts=hosts_of(turn, self._url(provider)),
        )

    def new_session_id(self) -> str:
        return ""

    def reading(self, turn: AgentTurn, folder: Path) -> Reading:
        return OpenCodeReading(turn.model or _DEFAULT_MODEL)

    def has_login(self, folder: Path) -> bool:
        return has_file(folder, *_STATE, _LOGIN)

    def sessions(self, folder: Path) -> tuple[str, ...]:
        return tuple(filter(is_opencode_id, stored_sessions(folder, *_STATE)))

    def _url(self, provider: str) -> str:
        if not self.base_url and provider not in _PROVIDERS:
            raise invalid(
                f"model's provider {provider[:80]!r}",
                f"known: {', '.join(_PROVIDERS)}; of any other, agents.NAME.base_url says where it is",
            )
        return self.base_url or _PROVIDERS[provider][0]

    def _config(self, turn: AgentTurn, provider: str, model: str) -> dict[str, object]:
        config: dict[str, object] = {
            "autoupdate": False,
            "share": "disabled",
            "snapshot": False,  # the volume has its own
            "enabled_providers": [provider],
            # Its list of models is as old as the binary: a newer one has to be named
            "provider": {provider: {**self._connection(provider), "models": {model: {}}}},
        }
        if turn.instructions:
            config["instructions"] = [str(GIVEN / INSTRUCTIONS)]
        if turn.skills:
            config["skills"] = {"paths": [str(GIVEN / _SKILLS)]}
        if turn.max_turns is not None:
            config["agent"] = {"build": {"steps": turn.max_turns}}
        if servers := {name: _server(server) for name, server in checked_servers(turn)}:
            config["mcp"] = servers
        return config

    def _connection(self, provider: str) -> Mapping[str, object]:
        _, variable = _PROVIDERS.get(provider, ("", _OWN_KEY))
        options = {"apiKey": f"{{env:{variable}}}"} | ({"baseURL": self.base_url} if self.base_url else {})
        return {"options": options} | ({} if provider in _PROVIDERS else {"npm": _ANY_GATEWAY})


def _model(turn: AgentTurn) -> tuple[str, str]:
    """Return the provider and the name of the turn's model."""
    provider, _, model = checked_model(turn.model or _DEFAULT_MODEL).partition("/")
    if not model:
        raise invalid(
            f"model {provider!r}",
            f"OpenCode's models have their provider before them, as in '{_DEFAULT_MODEL}'",
        )
    return provider, model


def _arguments(turn: AgentTurn, model: str) -> Iterator[str]:
    yield from ("run", "--format", "json", "--auto", "--log-level", "ERROR", "--model", model)
    if not turn.resumes:
        yield from ("--title", _TITLE)
    elif is_opencode_id(turn.session_id):
        yield from ("--session", turn.session_id)
    else:
        raise invalid(f"agent session id {turn.session_id[:80]!r}", "OpenCode's ids begin with 'ses_'")


def _server(server: McpServer) -> dict[str, object]:
    if server.url:
        return {"type": "remote", "url": server.url, "headers": dict(server.headers), "oauth": False}
    return {"type": "local", "command": list(server.command), "environment": dict(server.env)}
