"""What an agent is asked: its task, what it is given for it, and its bounds."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, JsonValue, model_validator

from hutch_mcp_tools.usage_records import Budget
from hutch_mcp_tools.volume_records import VolumeWaitS
from hutch_mcp_tools.wire import Wire

_TYPES = ("stdio", "http", "streamable-http")


class TurnBounds(Budget):
    """What holds for one turn of an agent: its bounds, and the form of its result."""

    max_minutes: Annotated[float, Field(gt=0, le=1440)] | None = None  # with its retries
    retries: Annotated[int, Field(ge=0, le=100)] | None = None  # after an overload of the model's service
    max_turns: Annotated[int, Field(gt=0, le=10_000)] | None = None  # answers of the model
    output_schema: dict[str, JsonValue] | None = None  # JSON Schema of its result


class McpServerSpec(Wire):
    """A server of MCP for the agent: a program in its sandbox, or a URL that its network grants."""

    command: str | None = None
    args: list[str] = []
    env: dict[str, str] = {}
    url: str | None = None
    headers: dict[str, str] = {}

    @model_validator(mode="before")
    @classmethod
    def _as_clients_write_it(cls, value: object) -> object:
        """Take the form of clients' own files, whose `type` says what the other keys say."""
        if not isinstance(value, dict) or value.get("type") not in _TYPES:
            return value
        return {key: each for key, each in value.items() if key != "type"}

    @model_validator(mode="after")
    def _is_one_of_two(self) -> "McpServerSpec":
        if (self.command is None) == (self.url is None):
            raise ValueError("a server has a command or a url, one of the two")
        return self


class AgentRequest(TurnBounds):
    """An agent's first turn in a new session, or, on a volume that holds one already, its next turn."""

    agent: str
    prompt: Annotated[str, Field(min_length=1)]
    volume: str | None = None  # "name" (mounted at /workspace); None: a volume named for the session is made
    args: dict[str, JsonValue] = {}  # what templates in its name take
    workspace: str | None = None  # "DIR" or "DIR:MODE", at /workspace; the volume is then at /session
    name: str | None = None
    model: str | None = None
    method: str | None = None
    image: str | None = None  # the root of the sandbox, one that the owner allows
    tier: str | None = None
    network: str | None = None
    secrets: list[str] = []  # beside the agent's own
    instructions: str | None = None  # added to the agent's system prompt for this run
    skills: Mapping[str, Mapping[str, str]] = {}  # skill name -> path within it -> text
    mcp_servers: dict[str, McpServerSpec] = {}  # that the agent is to use, by name
    bundles: list[str] = []  # of the configuration: "NAME", or of it "NAME:instructions", ":skills", ":mcp"
    hutch: bool = False  # it may use this service itself, as far as its own run goes
    resume: bool = True  # False: a new conversation though the volume holds one
    volume_wait_s: VolumeWaitS = 0
