"""Which secrets a request gets: granted ones by name, those of an agent where they are of use. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from hutch.config import Agent, Config, Secret
from hutch.egress import Network
from hutch.errors import HutchError
from hutch.origins import Origin, read_origin
from hutch.policy.granting import how_to_grant

_VALUE = ":env"


@dataclass(frozen=True, slots=True)
class GrantedSecret:
    """A secret that a run may use."""

    name: str
    secret: Secret
    is_value_inside: bool = False  # the explicit exception: the value itself is in its environment
    is_optional: bool = False  # an agent's own: where it has no value, there may be another way

    def __str__(self) -> str:
        if self.is_value_inside:
            return f"{self.name}: its value itself is inside, in {self.secret.variable}"
        hosts = ", ".join(str(host) for host in self.secret.hosts)
        return f"{self.name}: {', '.join(self.secret.place)} at {hosts}"


def grant_secrets(
    asked: Sequence[str], config: Config, granted: Collection[str], network: Network
) -> tuple[GrantedSecret, ...]:
    """Read "name" and "name:env". Raises HutchError `secret_denied`, `secret_unreachable`."""
    secrets = []
    for text in dict.fromkeys(asked):
        name = text.removesuffix(_VALUE)
        if name not in config.secrets or not {text, f"{name}{_VALUE}"} & set(granted):
            raise HutchError(
                "secret_denied",
                f"secret {text!r} is not granted",
                f"granted here: {', '.join(sorted(granted)) or 'none'}; {_way(text, config)}",
            )
        found = GrantedSecret(name, config.secrets[name], is_value_inside=text != name)
        _refuse_useless(found, network)
        secrets.append(found)
    return tuple(secrets)


def _way(text: str, config: Config) -> str:
    if text in config.policy.secrets:
        return "this caller, its tier or the repository goes without it"
    if text.removesuffix(_VALUE) not in config.secrets:
        return "one that is not there yet is made with: hutch secret add"
    return how_to_grant(text, "secrets", config)


def agents_secrets(agent: Agent, config: Config, network: Network) -> tuple[GrantedSecret, ...]:
    """Return what an agent has by its own table; at its gateway's host, where it is set to one."""
    bound = {name: _at(config.secrets[name], agent.base_url) for name in agent.secrets}
    return tuple(
        GrantedSecret(name, secret, is_optional=True)
        for name, secret in bound.items()
        if secret.env not in agent.pass_env and _is_reached(secret, network)
    )


def _at(secret: Secret, base_url: str) -> Secret:
    return replace(secret, hosts=(origin_of(base_url),)) if base_url else secret


def origin_of(url: str) -> Origin:
    """Return the origin of an http or https URL."""
    scheme, _, rest = url.partition("://")
    host = rest.partition("/")[0]
    return read_origin(f"http://{host}" if scheme == "http" else host)


def _refuse_useless(granted: GrantedSecret, network: Network) -> None:
    secret = granted.secret
    if granted.is_value_inside and not secret.variable:
        raise HutchError(
            "secret_denied",
            f"secret {granted.name} has no variable to put its value into",
            f"set env in [secrets.{granted.name}]",
        )
    if not granted.is_value_inside and not _is_reached(secret, network):
        hosts = ", ".join(str(host) for host in secret.hosts)
        raise HutchError(
            "secret_unreachable",
            f"secret {granted.name} is for {hosts}, which this run's network does not reach",
            "ask for a network that does: --net NAME",
        )


def _is_reached(secret: Secret, network: Network) -> bool:
    patterns = [rule.pattern for rule in network.allow]
    return any(
        one.includes(origin.pattern) or origin.pattern.includes(one)
        for origin in secret.hosts
        for one in patterns
    )
