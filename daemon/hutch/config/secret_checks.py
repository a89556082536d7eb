"""Checks that a secret says all that it needs, and that whoever names one names one that is there."""

from hutch.config.reader import Reader
from hutch.config.records import Config
from hutch.config.secrets import Secret


def check_secrets(reader: Reader, config: Config) -> None:
    """Raise HutchError `config_invalid` for a table that is not whole, or a name that means nothing."""
    for name, secret in config.secrets.items():
        _check_secret(reader, f"secrets.{name}", secret)
    named = {"policy.secrets": config.policy.secrets}
    named |= {f"agents.{name}.secrets": agent.secrets for name, agent in config.agents.items()}
    named |= {f"principals.{name}.secrets": other.secrets for name, other in config.principals.items()}
    for where, names in named.items():
        for name in names:
            if name.removesuffix(":env") not in config.secrets:
                known = f"known: {', '.join(sorted(config.secrets))}"
                raise reader.error(where, f"names no secret: {name!r}", known)


def _check_secret(reader: Reader, where: str, secret: Secret) -> None:
    if len(secret.sources) != 1:
        said = " and ".join(secret.sources) or "nothing"
        sources = "from_env, from_file, from_command or from_keyring"
        raise reader.error(where, f"says with {said} where its value comes from", f"use one of {sources}")
    for key in ("hosts", "place"):
        if not getattr(secret, key):
            hint = 'hosts = ["api.example.org"], place = "bearer"'
            raise reader.error(f"{where}.{key}", "is empty: it would be used nowhere", hint)
