"""One call of the command line: its configuration, and the service that it talks to."""

import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:  # what these cost to import is paid by the commands that need them
    from pydantic import BaseModel

    from hutch.config import Config
    from hutch_mcp_tools.service import SandboxService

T = TypeVar("T")
R = TypeVar("R", bound="BaseModel")

_OF_NO_TABLE = frozenset(  # what no change of the configuration brings
    {
        "run_unknown",
        "session_unknown",
        "group_unknown",
        "volume_unknown",
        "snapshot_unknown",
        "not_an_attempt",
    }
)
_OPTIONS = {"volume_wait_s": "wait_volume"}  # whose names are put together otherwise


def asked(record: "type[R]", **values: object) -> "R":
    """Make a request of what was typed. Raises click.UsageError, naming the field that cannot be so."""
    from pydantic import ValidationError

    try:
        return record(**values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        most = first.get("ctx", {}).get("le")
        unit = " s" if "".join(map(str, first["loc"])).endswith("_s") else ""
        what = first["msg"] if most is None else f"may be at most {most:g}{unit}"
        raise click.UsageError(f"{_typed(first['loc'])}: {what}") from None


def _typed(field: Sequence[int | str]) -> str:
    """The option that stands for a field of a request, which has its unit in its name; else the field."""
    name = str(field[0]) if field else ""
    names = (name, *(name.removesuffix(unit) for unit in ("_s", "_bytes")), _OPTIONS.get(name))
    context = click.get_current_context(silent=True)
    for option in context.command.params if context else ():
        if isinstance(option, click.Option) and option.name in names:
            return max(option.opts, key=len)
    return ".".join(str(part) for part in field)


@dataclass(frozen=True, slots=True)
class Invocation:
    """What every command is given. `connect` stands in for the daemon's client where it is set."""

    file: Path | None = None
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)
    connect: "Callable[[Config], AbstractAsyncContextManager[SandboxService]] | None" = None

    @property
    def config(self) -> "Config":
        from hutch.config import load

        return load(self.file, self.env)

    def call(self, work: "Callable[[SandboxService], Coroutine[Any, Any, T]]", *, start: bool = True) -> T:
        """Run `work` with the service, starting a daemon when none runs, unless not `start`.

        Raises:
            HutchError: also for what the service refuses.
        """
        import anyio

        from hutch import client
        from hutch.errors import HutchError, unwrapped
        from hutch_mcp_tools.service import ServiceError

        async def connected() -> T:
            config = self.config
            service = self.connect(config) if self.connect else client.connect(config, start=start)
            with unwrapped():
                async with service as given:
                    return await work(given)

        try:
            return anyio.run(connected)
        except ServiceError as error:
            hint = error.hint
            if error.code not in _OF_NO_TABLE and self.connect is None and client.is_outdated(self.config):
                stale = (
                    "the daemon still has the configuration from before its last change: hutch stop --daemon"
                )
                hint = f"{hint}; {stale}" if hint else stale
            raise HutchError(error.code, error.message, hint) from None
