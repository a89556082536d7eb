"""Agents: how to start one, read what it says, and find its conversation again in a volume.

    agent = ClaudeCode.find(configured_path, base_url=...)       # HutchError agent_missing, agent_invalid

    stored = find_session(folder, agent)                         # None: nothing to resume in this volume
    turn = AgentTurn(prompt, stored.session_id if stored else new_session_id(), resumes=stored is not None)
    command = agent.command(turn)                                # pure; HutchError turn_invalid
    give(private, command.given)                                 # mount `private` at GIVEN, read-only

    reading = agent.reading()
    for event in reading.feed(chunk): ...                        # any piece of stdout
    outcome = reading.finish(exit_code=status.code, stderr=tail)

    write_session(folder, StoredSession(agent.name, outcome.session_id or turn.session_id))

`folder` is the volume's working folder on the host. The sandbox writes it, so it is hostile: these functions
reach beneath it by descriptor and follow no link; call them while no sandbox holds the volume.
`write_session` raises HutchError `volume_state_invalid` where the sandbox put something else in place of
`.hutch`. `private` is a new, empty folder of the run. All of it blocks shortly: call it in a thread.

An `Outcome` of `Ending.SESSION_UNKNOWN` means that the transcript is there and the agent still will not have
it; a new conversation (`resumes=False`, a new id) is then the way on.
"""

from hutch.agents.adapter import (
    GIVEN,
    Agent,
    AgentCommand,
    AgentEvent,
    AgentTurn,
    Binding,
    Ending,
    FileChanged,
    Outcome,
    Reading,
    Retrying,
    Said,
    SessionNamed,
    Spent,
    ToolEnded,
    ToolStarted,
    Usage,
)
from hutch.agents.claude import ClaudeCode
from hutch.agents.stored import StoredSession, find_session, give, new_session_id, read_session, write_session

__all__ = [
    "GIVEN",
    "Agent",
    "AgentCommand",
    "AgentEvent",
    "AgentTurn",
    "Binding",
    "ClaudeCode",
    "Ending",
    "FileChanged",
    "Outcome",
    "Reading",
    "Retrying",
    "Said",
    "SessionNamed",
    "Spent",
    "StoredSession",
    "ToolEnded",
    "ToolStarted",
    "Usage",
    "find_session",
    "give",
    "new_session_id",
    "read_session",
    "write_session",
]
