"""The MCP server over a service: registers the tools and the resources, nothing else."""

from typing import Any

from mcp.server import MCPServer
from mcp.types import Resource
from typing_extensions import override

from hutch_mcp_tools.progress import Pace
from hutch_mcp_tools.resources import Resources
from hutch_mcp_tools.service import SandboxService
from hutch_mcp_tools.tools.agents import AgentTools
from hutch_mcp_tools.tools.changes import ChangeTools
from hutch_mcp_tools.tools.runs import RunTools
from hutch_mcp_tools.tools.sessions import SessionTools
from hutch_mcp_tools.tools.volumes import VolumeTools
from hutch_mcp_tools.volume_resources import VolumeResources

# Some clients show a model this and nothing else until it searches for tools; 500 characters are enough.
INSTRUCTIONS = """\
Hutch runs commands and coding agents in isolated sandboxes on this machine. Prefer run_in_sandbox to your \
own shell for code you did not write or do not trust, for anything destructive or experimental, and for what \
needs a clean environment; use your own shell for the user's real files. What must last goes into a volume. \
start_agent puts another coding agent to work unattended. Calls return within 50 s; then poll get_run or \
get_session."""


# To an agent that is in a sandbox itself
AGENTS_INSTRUCTIONS = """\
Hutch runs commands in further sandboxes beside the one you are in: throw-away, of the same kind as yours, \
with at most your limits and your network, paid from your budget, ended with you. They have no network \
unless you ask. Your own volumes may be mounted as "name:/path:ro", as they were last committed; \
list_volumes names them. Calls return within 50 s; then poll get_run."""
AGENTS_TOOLS = frozenset({"run_in_sandbox", "get_run", "stop_run", "read_volume", "list_volumes"})


def build_server(
    service: SandboxService, *, version: str, pace: Pace | None = None, is_agents: bool = False
) -> MCPServer:
    """One server for every transport and both eras of the protocol. The caller owns the service.

    `pace`: how often a waiting client hears of its call. `is_agents`: the caller is in a sandbox of ours.
    """
    pace = pace or Pace()
    volumes = VolumeResources(service)
    tools = [
        *RunTools(service, pace).tools(),
        *AgentTools(service, pace).tools(),
        *SessionTools(service, pace).tools(),
        *VolumeTools(service).tools(),
        *ChangeTools(service).tools(),
    ]
    server = _Server(
        volumes,
        "hutch",
        title="Hutch",
        version=version,
        instructions=AGENTS_INSTRUCTIONS if is_agents else INSTRUCTIONS,
        log_level="WARNING",  # counts only where nobody has set up logging
        tools=[each for each in tools if not is_agents or each.name in AGENTS_TOOLS],
    )
    Resources(service).register(server)
    volumes.register(server)
    return server


class _Server(MCPServer):
    """Its list of resources is of what there is at the moment."""

    def __init__(self, volumes: VolumeResources, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self._volumes = volumes

    @override
    async def list_resources(self) -> list[Resource]:
        return [*await super().list_resources(), *await self._volumes.listed()]
