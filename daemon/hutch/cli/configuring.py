"""Changes the owner's configuration: every command that does shows what, and checks it first."""

from pathlib import Path

from hutch.cli.invocation import Invocation
from hutch.cli.output import note

_TAKE_UP = "a daemon that runs takes it up when it is started anew: hutch stop --daemon"


def configuration(invocation: Invocation) -> tuple[Path, str]:
    """Return the file that the daemon reads, or would read, and its text."""
    from hutch.config.places import own_file

    config = invocation.config
    file = config.file or own_file(invocation.env)
    return file, file.read_text() if config.file else ""


def change(invocation: Invocation, file: Path, old: str, new: str, *, dry_run: bool) -> None:
    """Show what changes, and write it unless it is a `dry_run`. Raises HutchError `config_invalid`."""
    from hutch.config import parse, writing

    if new == old:
        note(f"{file} says so already")
        return
    print(writing.difference(file, old, new), end="")
    if dry_run:
        parse(new, invocation.env, file)
        return
    writing.write(file, new, invocation.env)
    note(_TAKE_UP)
