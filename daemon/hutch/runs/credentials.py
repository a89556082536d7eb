"""Whether an agent has a credential: what the daemon hands into its sandbox."""

import os

from hutch.agents import Agent
from hutch.config import Config
from hutch.errors import HutchError


def keyless(config: Config, name: str, agent: Agent) -> HutchError | None:
    """Why the agent called `name` has none, unless its volume holds a login; None: it has one."""
    settings = config.agents[name]
    there = [variable for variable in agent.secrets if variable in os.environ]
    if settings.base_url or set(there) & set(settings.pass_env):
        return None
    if there:
        return HutchError(
            "agent_keyless",
            f"{agent.name} has no credential: {there[0]} is set, and agents.{name}.pass_env does not name it",
            f'let it in with pass_env = ["{there[0]}"] in [agents.{name}], then: hutch stop --daemon',
        )
    return HutchError(
        "agent_keyless",
        f"{agent.name} has no credential: the daemon's environment has none of {', '.join(agent.secrets)}",
        "set one, then let the daemon take it up: hutch stop --daemon, and try again",
    )
