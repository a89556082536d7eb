"""Agents: how to start one, read what it says, and find its conversation again in a volume.

    agent = find_agent("claude", config.agents["claude"])        # HutchError agent_missing, agent_invalid

    stored = find_session(folder, agent)                         # None: nothing to resume in this volume
    session_id = stored.session_id if stored else agent.new_session_id()
    turn = AgentTurn(prompt, session_id, resumes=stored is not None)
    command = agent.command(turn)                                # pure; HutchError turn_invalid
    give(private, command.given)                                 # mount `private` at GIVEN, read-only
    lay_state(folder, command.state)

    reading = agent.reading(turn, folder)
    for event in reading.feed(chunk): ...                        # any piece of stdout
    outcome = reading.finish(exit_code=status.code, stderr=tail)

    write_session(folder, StoredSession(agent.name, session_id)) # as soon as the id is known

`folder` is the volume's working folder on the host. The sandbox writes it, so it is hostile: these functions
reach beneath it by descriptor and follow no link. Call them while no sandbox holds it, but `write_session`.
`write_session` raises HutchError `volume_state_invalid` where the sandbox put something else in place of
`.hutch`. `private` is a new, empty folder of the run. All of it blocks shortly: call it in a thread.

An `Outcome` of `Ending.SESSION_UNKNOWN` means that the transcript is there and the agent still will not have
it; a new conversation (`resumes=False`, a new id) is then the way on.
"""

from hutch.agents.adapter import (
    GIVEN,
    Agent,
    AgentCommand,
    AgentTurn,
    Binding,
    McpServer,
    Reading,
)
from hutch.agents.claude import ClaudeCode
from hutch.agents.codex import Codex
from hutch.agents.doing import doing
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
from hutch.agents.gemini import Gemini
from hutch.agents.laying_in import read_instructions, read_skills
from hutch.agents.opencode import OpenCode
from hutch.agents.registry import READINGS, find_agent
from hutch.agents.stored import (
    StoredSession,
    find_session,
    give,
    is_session_id,
    lay_state,
    read_session,
    write_session,
)

__all__ = [
    "GIVEN",
    "READINGS",
    "Agent",
    "AgentCommand",
    "AgentEvent",
    "AgentTurn",
    "Answered",
    "Binding",
    "ClaudeCode",
    "Codex",
    "Ending",
    "Erred",
    "FileChanged",
    "Gemini",
    "McpServer",
    "OpenCode",
    "Outcome",
    "PermissionAsked",
    "Reading",
    "Retrying",
    "Said",
    "SessionNamed",
    "Spent",
    "StoredSession",
    "ToolEnded",
    "ToolStarted",
    "Usage",
    "doing",
    "find_agent",
    "find_session",
    "give",
    "is_session_id",
    "lay_state",
    "read_instructions",
    "read_session",
    "read_skills",
    "write_session",
]
