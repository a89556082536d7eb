"""The methods that are held against the contract here, and what is known of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from support.container_engines import DOCKER_HOST, PODMAN
from support.contract_column import ORDINARY_USER, ROOT_USER

USERS = (ROOT_USER, ORDINARY_USER)
_ROOT = (ROOT_USER,)


@dataclass(frozen=True, slots=True)
class Method:
    """`toml` is its table in a configuration, without the head."""

    name: str
    toml: str
    must_run: tuple[str, ...] = USERS  # where all that the tests need is installed


METHODS: tuple[Method, ...] = (
    Method("bubblewrap", 'kind = "bubblewrap"'),
    Method("nsjail", 'kind = "nsjail"'),
    Method("landlock", 'kind = "landlock"'),
    Method("pid", 'kind = "pid"'),
    Method("docker", f'kind = "docker"\nhost = "{DOCKER_HOST}"', _ROOT),
    Method("podman", f'kind = "podman"\ncommand = {json.dumps(PODMAN)}', _ROOT),
    Method("nspawn", 'kind = "nspawn"', _ROOT),
    Method("account", 'kind = "account"', ()),
    Method("bare", 'kind = "wrapper"\ncommand = ["env", "{command}"]'),
)

# What does not hold yet, by case, method and user: the table says so.
OPEN: Mapping[tuple[str, str, str], str] = {
    (
        "files/mknod",
        "landlock",
        ROOT_USER,
    ): "a device that root had made in a granted folder before the start can be opened",
}
