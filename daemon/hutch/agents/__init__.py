"""Agents: how to start one, read what it says, and find its conversation again in a volume.

    agent = ClaudeCode.find(configured_path, base_url=...)       # HutchError agent_missing

    stored = find_session(folder, agent)                         # None: nothing to resume in this volume
    turn = AgentTurn(prompt, session_id=stored.session_id if stored else new_session_id(), resumes=bool(stored))
    command = agent.command(turn)                                # pure
    give(folder, command.given)                                  # before the sandbox starts

    reading = agent.reading()
    for event in reading.feed(chunk): ...                        # any piece of stdout
    outcome = reading.finish(exit_code=status.code, stderr=tail)

    write_session(folder, StoredSession(agent.name, outcome.session_id or turn.session_id))
                                                                 # after the sandbox is dead, before the commit

`folder` is the volume's working folder on the host, written by the sandbox and so hostile: these functions
reach beneath it by descriptor and follow no link. They raise HutchError `volume_state_invalid` where the
sandbox has put something else in place of `.hutch`. They block shortly: call them in a thread.
"""

from hutch.agents.adapter import (
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
