"""The methods that are held against the contract here, and what is known of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from support.container_engines import DOCKER_HOST, PODMAN, ROOTLESS
from support.contract_column import ORDINARY_USER, ROOT_USER

USERS = (ROOT_USER, ORDINARY_USER)
_ROOT = (ROOT_USER,)


@dataclass(frozen=True, slots=True)
class Method:
    """`toml` is its table in a configuration, without the head; `{home}` is a folder of the user's own."""

    name: str
    toml: str
    ordinary_toml: str = ""  # where an ordinary user's is another
    must_run: tuple[str, ...] = USERS  # where all that the tests need is installed


def _podman(command: Sequence[str]) -> str:
    return f'kind = "podman"\ncommand = {json.dumps(command)}'


METHODS: tuple[Method, ...] = (
    Method("bubblewrap", 'kind = "bubblewrap"'),
    Method("nsjail", 'kind = "nsjail"'),
    Method("landlock", 'kind = "landlock"'),
    Method("gvisor", 'kind = "gvisor"', must_run=_ROOT),
    Method("pid", 'kind = "pid"'),
    Method("docker", f'kind = "docker"\nhost = "{DOCKER_HOST}"'),
    Method("podman", _podman(PODMAN), _podman(ROOTLESS)),
    Method("nspawn", 'kind = "nspawn"', must_run=_ROOT),
    Method("firejail", 'kind = "firejail"', must_run=_ROOT),
    Method("account", 'kind = "account"', must_run=_ROOT),
    Method("bare", 'kind = "wrapper"\ncommand = ["env", "{command}"]'),
)

# What does not hold yet, by case, method and user: the table says so.
OPEN: Mapping[tuple[str, str, str], str] = {}
