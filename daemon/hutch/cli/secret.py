"""`hutch secret`: the secrets of the configuration; no command here shows a value."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hutch.cli.configuring import change, configuration
from hutch.cli.invocation import Invocation
from hutch.cli.output import json_option, note, print_json, print_table
from hutch.errors import HutchError
from hutch.exit_codes import FAILED

if TYPE_CHECKING:
    from hutch.config import Config, Secret


@click.group()
def secret() -> None:
    """Values that sandboxes use and never have: where they come from, where they go, whether they work."""


@secret.command()
@click.argument("name")
@click.option("--from-env", metavar="VARIABLE", help="The daemon's variable that holds it.")
@click.option("--from-file", type=click.Path(path_type=Path), metavar="FILE", help="A file that holds it.")
@click.option("--from-command", metavar="COMMAND", help="What prints it: 'op read op://private/token'.")
@click.option("--from-keyring", metavar="SERVICE/USER", help="Its entry in the desktop's keyring.")
@click.option("--host", multiple=True, required=True, metavar="HOST[:PORT]", help="Who may get it.")
@click.option("--header", multiple=True, metavar="NAME[: TEMPLATE]", help="The header that it stands in.")
@click.option("--bearer", is_flag=True, help="It is a bearer token.")
@click.option("--basic", is_flag=True, help="It is used in basic authentication.")
@click.option("--query", multiple=True, metavar="NAME", help="The parameter that it stands in.")
@click.option("--method", multiple=True, metavar="METHOD", help="Only in requests by this method.")
@click.option("--path", multiple=True, metavar="PATH", help="Only in requests to this path: /v1/*.")
@click.option(
    "--env",
    metavar="VARIABLE",
    help="The variable inside that gets the placeholder; else that of --from-env.",
)
@click.option("--like", metavar="TEXT", help="What the placeholder begins with.")
@click.option("--check", metavar="PATH", help="The path that `hutch secret check` asks for.")
@click.option("--grant", is_flag=True, help="Let callers ask for it: add it to policy.secrets.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.pass_obj
def add(invocation: Invocation, /, *, name: str, grant: bool, dry_run: bool, **options: Any) -> None:
    """Write a secret's table into the configuration. The value itself is never written."""
    from hutch.config import writing
    from hutch.config.secrets import SECRETS

    if name not in SECRETS:  # those have a variable of their own
        options["env"] = options["env"] or options["from_env"]
        if not options["env"]:
            note("no variable inside has its placeholder; name one with: --env VARIABLE")
    file, text = configuration(invocation)
    changed = writing.with_secret(text, name, _table(options), granted=grant)
    change(invocation, file, text, changed, dry_run=dry_run)


@secret.command()
@click.argument("name")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.pass_obj
def rm(invocation: Invocation, /, *, name: str, dry_run: bool) -> None:
    """Take a secret's table out of the configuration."""
    from hutch.config import writing

    file, text = configuration(invocation)
    change(invocation, file, text, writing.without_secret(text, name), dry_run=dry_run)


@secret.command()
@json_option
@click.pass_obj
def ls(invocation: Invocation, /, *, as_json: bool) -> None:
    """List the secrets: where each comes from and may go, and who has it."""
    config = invocation.config
    rows = [(name, _source(one), one, _users(config, name)) for name, one in sorted(config.secrets.items())]
    if as_json:
        keys = ("name", "from", "hosts", "place", "for")
        print_json(
            [
                dict(
                    zip(keys, (name, source, list(map(str, one.hosts)), list(one.place), users), strict=True)
                )
                for name, source, one, users in rows
            ]
        )
        return
    print_table(
        ("NAME", "FROM", "HOSTS", "PLACE", "FOR"),
        (
            (name, source, ", ".join(map(str, one.hosts)), "; ".join(one.place), ", ".join(users))
            for name, source, one, users in rows
        ),
    )


@secret.command(short_help="Prove that a secret works.")
@click.argument("name")
@click.option("--path", metavar="PATH", help="What to ask for, where its table says nothing.")
@json_option
@click.pass_obj
def check(invocation: Invocation, /, *, name: str, path: str | None, as_json: bool) -> int:
    """Prove that a secret works: ask its host with it and without, as a sandbox would."""
    record = invocation.call(lambda service: service.check_secret(name, path))
    if as_json:
        print_json(record)
    else:
        print(f"{record.url}: {record.status} with it, {record.without} without: {record.told}")
    return 0 if record.works else FAILED


def _table(options: dict[str, Any]) -> dict[str, object]:
    places = [f"header {one}" for one in options["header"]] + [f"query {one}" for one in options["query"]]
    places += [word for word in ("bearer", "basic") if options[word]]
    file, command = options["from_file"], options["from_command"]
    values = {
        "from_env": options["from_env"],
        "from_file": file and os.path.normpath(file.absolute()),
        "from_command": command and shlex.split(command),
        "from_keyring": options["from_keyring"],
        "hosts": list(options["host"]),
        "place": places[0] if len(places) == 1 else places,
        "methods": list(options["method"]),
        "paths": list(options["path"]),
        "env": options["env"],
        "like": options["like"],
        "check": options["check"],
    }
    return {key: value for key, value in values.items() if value}


def _users(config: "Config", name: str) -> list[str]:
    """Who may use it: whoever calls, and agents by their own tables."""
    callers = ["callers"] if name in config.policy.secrets else []
    return callers + [agent for agent, said in config.agents.items() if name in said.secrets]


def _source(one: "Secret") -> str:
    said = {
        "from_env": f"${one.from_env}",
        "from_file": str(one.from_file),
        "from_command": " ".join(one.from_command),
        "from_keyring": f"keyring {one.from_keyring}",
    }
    if not one.sources:
        raise HutchError("config_invalid", "a secret without a source")
    return said[one.sources[0]]
