"""`hutch init`: a script to begin with."""

from importlib import resources
from pathlib import Path

import click

from hutch.cli.output import note
from hutch.errors import HutchError

TEMPLATES = ("claude", "codex", "opencode", "gemini", "custom")


@click.command()
@click.argument("template", type=click.Choice(TEMPLATES))
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default=Path())
def init(*, template: str, folder: Path) -> None:
    """Write a script to begin with into DIR: one that gives an agent a task, or is one itself (custom).

    Its name is printed; a file that is there is left as it is.
    """
    path = folder / f"{template}.py"
    source = resources.files("hutch.scripts").joinpath("templates", path.name)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("xb") as file:
            file.write(source.read_bytes())
    except FileExistsError:
        raise HutchError(
            "script_exists", f"{path} is there already", "name another folder, or move it away"
        ) from None
    print(path)
    note(f"run it: hutch run {path} --arg volume=my-{template} --arg prompt='…'")
