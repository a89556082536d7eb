"""Whether an agent has a credential: a secret, or what the daemon hands into its sandbox."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from hutch.agents import Agent
from hutch.config import Agent as AgentConfig
from hutch.config import Config, Secret
from hutch.destinations import is_loopback
from hutch.errors import HutchError


def keyless(config: Config, name: str, agent: Agent, *, has_egress: bool = True) -> HutchError | None:
    """Why the agent called `name` has none, unless its volume holds a login; None: it has one.

    Without an egress of ours, what starts it has to hand the credential in.
    """
    settings = config.agents[name]
    if not agent.secrets:
        return None
    there = [variable for variable in agent.secrets if variable in os.environ]
    own = [config.secrets[secret] for secret in settings.secrets] if has_egress else []
    if _asks_for_none(settings) or set(there) & set(settings.pass_env) or any(map(_is_there, own)):
        return None
    if there and not has_egress:
        return HutchError(
            "agent_keyless",
            f"{agent.name} has no credential: on this host itself no secret can be put in outside",
            f'hand it in with pass_env = ["{there[0]}"] in [agents.{name}], then: hutch stop --daemon',
        )
    if there:
        return HutchError(
            "agent_keyless",
            f"{agent.name} has no credential: {there[0]} is set, and no secret of agents.{name} takes it",
            f'name its secret in [agents.{name}], as in secrets = ["{_taking(config, there[0])}"], then: '
            "hutch stop --daemon",
        )
    gateway = settings.base_url
    or_none = f"; if {gateway} asks for none: needs_key = false in [agents.{name}]" if gateway else ""
    return HutchError(
        "agent_keyless",
        f"{agent.name} has no credential: the daemon's environment has none of {', '.join(agent.secrets)}",
        f"export {agent.secrets[0]}=…, let the daemon take it up: hutch stop --daemon, try again{or_none}",
    )


def _asks_for_none(settings: AgentConfig) -> bool:
    """Whether its model is a gateway that asks for no key: as configured, or likely, being on this host."""
    host = urlsplit(settings.base_url).hostname or ""
    return bool(host) and (not settings.needs_key or host == "localhost" or is_loopback(host))


def _taking(config: Config, variable: str) -> str:
    """Return the secret that comes from this variable of the environment, or what one may be called."""
    return next((name for name, each in config.secrets.items() if each.from_env == variable), "mine")


def _is_there(secret: Secret) -> bool:
    """Whether a value is likely there; programs and keyrings are asked when a run begins."""
    if secret.from_env:
        return secret.from_env in os.environ
    return secret.from_file == Path() or secret.from_file.is_file()
