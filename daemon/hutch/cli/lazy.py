"""A group whose commands are imported when they are run, not when they are listed."""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click


class ReaderGoneError(Exception):
    """Nobody reads our output any more. Not an OSError, which click would take for itself."""


class LazyGroup(click.Group):
    """`commands_at` maps a name to where its command is, "module:attribute", and its line in the help.

    `sections` are its parts as the help shows them, each with a title.
    """

    def __init__(
        self,
        *args: Any,
        commands_at: Mapping[str, tuple[str, str]],
        sections: Mapping[str, Mapping[str, tuple[str, str]]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._commands_at = commands_at
        self._sections = sections or {"Commands": commands_at}

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderGoneError from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._commands_at:
            return None
        module, _, attribute = self._commands_at[cmd_name][0].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self._commands_at and not args[0].startswith("-"):
            near = get_close_matches(args[0], self._commands_at, 1)
            ctx.fail(f"no command is called {args[0]!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self._commands_at))
        for title, commands in self._sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), line) for name, (_, line) in commands.items()])
