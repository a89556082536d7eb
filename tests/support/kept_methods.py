"""The methods that can keep a sandbox, as a real daemon of the tests has them, and its users."""

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from support.container_engines import OWN, start_engine
from support.contract_column import ORDINARY_USER, ROOT_USER, Who, home_of
from support.contract_methods import METHODS
from support.daemon import Daemon, daemon
from support.needs import need

_BOTH, _ROOT = (ROOT_USER, ORDINARY_USER), (ROOT_USER,)
KEPT: Mapping[str, tuple[str, ...]] = {
    "bubblewrap": _BOTH,
    "nsjail": _BOTH,
    "pid": _ROOT,
    "landlock": _ROOT,
    "docker": _ROOT,
    "podman": _ROOT,
    "nspawn": _ROOT,
    "gvisor": _ROOT,
}
KNOWN = {one.name: one for one in METHODS}
PLACES = tuple((method, user) for method, users in KEPT.items() for user in users)

_CONFIG = """
[policy]
method = "{method}"
needs = []
force_sandbox = false
workspaces = ["{work}"]

[methods.{method}]
{toml}
"""


def label(place: tuple[str, str]) -> str:
    """Of a method and a user, in the name of a test."""
    return f"{place[0]}-{place[1].split()[0]}"


def named(method: str) -> str:
    """What a daemon calls it here: other processes test the same engines."""
    return f"{method}-{OWN}"


@asynccontextmanager
async def daemon_with(method: str, user: Who, more: str = "") -> AsyncGenerator[Daemon]:
    """A daemon with this method, whatever it holds, and a workspace: the folder `work` beside its own.

    Skips the test where the method does not run.
    """
    start_engine(method)
    toml = KNOWN[method].toml if method in KNOWN else f'kind = "{method}"'
    with home_of(user) as home:
        folder, work = home / "d", home / "work"
        for made in (folder, work):
            made.mkdir()
            os.chown(made, user.uid, user.uid)
        config = _CONFIG.format(method=named(method), work=work, toml=toml)
        async with daemon(folder, config + more, env=user.env, python=user.python) as running:
            async with running.client() as client:
                methods = (await client.doctor())["methods"]
            (found,) = [one for one in methods if one["name"] == named(method)]
            need(method, found["available"], f"the method {method} ({found['reason']})", found["fix"])
            yield running
