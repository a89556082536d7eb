"""Claude Code."""

from dataclasses import dataclass
from pathlib import Path

from hutch.agents.adapter import AgentCommand, AgentTurn, Reading


@dataclass(frozen=True, slots=True)
class ClaudeCode:
    """The native binary, run headless with its own permission prompts off: the sandbox is the boundary."""

    binary: Path
    base_url: str = "https://api.anthropic.com"

    @classmethod
    def find(
        cls, configured: Path | None = None, *, base_url: str = "https://api.anthropic.com"
    ) -> "ClaudeCode":
        """Locate the binary: as configured, from the claude-agent-sdk wheel, on PATH. Raises `agent_missing`."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        return "claude"

    def command(self, turn: AgentTurn) -> AgentCommand:
        raise NotImplementedError

    def reading(self) -> Reading:
        raise NotImplementedError

    def sessions(self, folder: Path) -> tuple[str, ...]:
        raise NotImplementedError
