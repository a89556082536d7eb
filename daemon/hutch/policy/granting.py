"""How the owner grants what was refused: the key, the file, and what makes it count. Pure."""

from hutch.config import Config


def how_to_grant(item: object, key: str, config: Config) -> str:
    """Say how `item` comes into the list `key` of the policy."""
    file = config.file or "~/.config/hutch/config.toml"
    return f'the owner adds "{item}" to the list {key} below [policy] in {file}, then: hutch stop --daemon'
