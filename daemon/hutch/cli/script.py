"""`hutch run SCRIPT`: what the head of a script asks for, as options of the command line that it stands for.

Every option of `hutch run` that says something of the sandbox may stand in a head, by its name and in its own
form. What is typed comes first.
"""

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from hutch.cli.sectioned import SectionedCommand
from hutch.errors import HutchError
from hutch.scripts.head import SANDBOX, VOLUME, Annotation, read_head, refusal
from hutch.scripts.languages import is_script, language_of

if TYPE_CHECKING:
    from hutch.cli.invocation import Invocation

_NETWORK = "network"
_OWN = (SANDBOX, VOLUME, _NETWORK)
_NOT_IN_A_HEAD = frozenset(
    {"arg", "args_json", "session", "volume", "net", "raw", "as_json", "print_id", "detach"}
)
_BYTES = 1 << 20  # of a script
_IS_SCRIPT = "hutch.script"


class ScriptOrCommand(SectionedCommand):
    """Options may stand behind a script's name; behind a command's name they are its own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        typed, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        words = typed.get("command")
        words = words if isinstance(words, tuple) else ()  # click has a mark of its own for none
        is_marked = args[len(args) - len(words) - 1 : len(args) - len(words)] == ["--"]  # it is a command
        if words and not is_marked and is_script(words[0]) and Path(words[0]).is_file():
            ctx.allow_interspersed_args = True
            ctx.meta[_IS_SCRIPT] = words[0]
        return super().parse_args(ctx, args)


@dataclass(frozen=True, slots=True)
class ScriptFile:
    """A script of this host, and its head."""

    path: Path
    text: str
    head: tuple[Annotation, ...]


def is_absent_script(words: Sequence[str]) -> bool:
    """Whether the command is named as a script is, and this host has no such file."""
    return is_script(words[0]) and not Path(words[0]).exists()


def typed_script(words: Sequence[str]) -> ScriptFile | None:
    """Return the script that the command line names; None: it names a command.

    Raises click.UsageError, and HutchError `script_invalid`.
    """
    context = click.get_current_context()
    if _IS_SCRIPT not in context.meta:
        return None
    path = Path(context.meta[_IS_SCRIPT])
    if len(words) > 1:
        raise click.UsageError(f"a script takes its arguments by name: --arg NAME=TEXT, not {words[1]!r}")
    with path.open("rb") as file:
        data = file.read(_BYTES + 1)
    if len(data) > _BYTES:
        raise HutchError("script_invalid", f"{path.name} is over 1 MiB", "put what is large into a volume")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise HutchError("script_invalid", f"{path.name} is not UTF-8 text") from None
    head = read_head(text, path.name, language_of(path.name).comment, (*_OWN, *_options(context)))
    if not head:
        mark = language_of(path.name).comment
        raise HutchError(
            "script_invalid",
            f"{path.name} asks for nothing at its head",
            f"begin it with: {mark} sandbox; or, to run a program of this name inside: hutch run -- {path}",
        )
    return ScriptFile(path, text, head)


def with_head(options: Mapping[str, Any], script: ScriptFile, invocation: "Invocation") -> dict[str, Any]:
    """Return the options with what the head asks for and nobody has typed. Raises HutchError."""
    context = click.get_current_context()
    reading = _Reading(script, context)
    found = reading.options()
    merged = dict(options)
    for name, value in found.items():
        if isinstance(value, list):
            merged[name] = (*value, *options[name])
        elif context.get_parameter_source(name) is ParameterSource.DEFAULT:
            merged[name] = value
    merged["volume"] = _volumes(script, merged, invocation)
    return merged


def read_args(source: str | None) -> dict[str, object]:
    """Read an object of arguments from a file, or from standard input. Raises click.UsageError."""
    if source is None:
        return {}
    text = sys.stdin.read() if source == "-" else Path(source).read_text()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"--args-json: {error}") from None
    if not isinstance(value, dict):
        raise click.UsageError("--args-json: it is not an object")
    return value


# The annotations ------------------------------------------------------------


def _options(context: click.Context) -> dict[str, click.Option]:
    """The options that may stand in a head, by the word that they are there."""
    found = {}
    for option in context.command.params:
        if isinstance(option, click.Option) and option.name not in _NOT_IN_A_HEAD:
            found[max(option.opts, key=len).removeprefix("--")] = option
    return found


class _Reading:
    """Turns annotations into values of options; whatever is wrong is told with its line."""

    def __init__(self, script: ScriptFile, context: click.Context) -> None:
        self._script = script
        self._context = context
        self._options = _options(context)
        self._found: dict[str, Any] = {}

    def options(self) -> dict[str, Any]:
        for said in self._script.head:
            if said.word == SANDBOX:
                self._sandbox(said)
            elif said.word == _NETWORK:
                self._put(
                    said, "net", ",".join(filter(None, (self._found.get("net"), said.text))), again=True
                )
            elif said.word != VOLUME:
                self._option(said)
        if "net" in self._found:
            self._found["net"] = _networks(self._found["net"])
        return self._found

    def _sandbox(self, said: Annotation) -> None:
        if said.text.startswith("image "):
            self._put(said, "image", said.text.removeprefix("image "))
        elif len(said.text.split()) > 1:
            raise self._refusal(said, f"a method is one word, not {said.text[:80]!r}")
        elif said.text:
            self._put(said, "method", said.text)

    def _option(self, said: Annotation) -> None:
        option = self._options[said.word]
        name = option.name or ""
        if option.is_flag:
            if said.text:
                raise self._refusal(said, f"{said.word!r} takes nothing")
            self._put(said, name, value=True)
            return
        if not said.text:
            raise self._refusal(
                said, f"{said.word!r} says nothing", f"write {said.word}: {option.metavar or ''}"
            )
        if not option.multiple:
            text = said.text if name != "workspace" else os.path.join(self._script.path.parent, said.text)  # noqa: PTH118
            self._put(said, name, self._cast(said, option, text))
            return
        texts = (said.text,) if name == "env" else re.split(r"[\s,]+", said.text.strip(", \t"))
        cast = self._cast(said, option, texts)
        self._found.setdefault(name, []).extend(cast if isinstance(cast, tuple) else ())

    def _cast(self, said: Annotation, option: click.Option, value: object) -> object:
        try:
            return option.type_cast_value(self._context, value)
        except click.BadParameter as error:
            raise self._refusal(said, error.message) from None

    def _put(self, said: Annotation, name: str, value: object, *, again: bool = False) -> None:
        if name in self._found and not again:
            raise self._refusal(said, f"{said.word!r} is said twice")
        self._found[name] = value

    def _refusal(self, said: Annotation, why: str, hint: str = "") -> HutchError:
        return refusal(self._script.path.name, said.line, why, hint)


def _networks(text: str) -> str:
    """Names of the configuration first, and then hosts, which have a dot or a port."""
    items = [item for item in re.split(r"[\s,]+", text.strip(", \t")) if item]
    hosts = [item.removeprefix("allow:") for item in items if re.search(r"[.:*]", item)]
    names = [item for item in items if not re.search(r"[.:*]", item)]
    return ",".join((*names, *(f"allow:{host}" for host in hosts)))


# The volumes ------------------------------------------------------------


def _volumes(script: ScriptFile, options: Mapping[str, Any], invocation: "Invocation") -> tuple[str, ...]:
    """The volumes as options write them: those of the head, but where a typed one has that place."""
    from hutch.cli.arguments import arguments
    from hutch.mounts import HOME, WORKSPACE, read_mount

    workspace = invocation.config.daemon.workspace
    args = options["args"] | arguments(options["arg"])
    typed = tuple(options["volume"])
    named = (f"some{text}" if text.startswith("@") else text for text in typed)  # @RUN: the daemon knows it
    targets = {read_mount(text, args, workspace).target for text in named}
    said = list(_of_head(script))
    has_workspace = options["workspace"] or WORKSPACE in {
        *targets,
        *(PurePosixPath(each[2]) for each in said),
    }
    base = WORKSPACE if has_workspace else HOME
    found = []
    for line, name, path, mode in said:
        text = f"{name}:{base / path}{mode}"
        try:
            mount = read_mount(text, args, workspace)
        except HutchError as error:
            raise HutchError(error.code, f"{script.path.name}:{line}: {error.message}", error.hint) from None
        if mount.target not in targets:
            found.append(text)
    return (*found, *typed)


def _of_head(script: ScriptFile) -> Iterator[tuple[int, str, str, str]]:
    for said in script.head:
        if said.word != VOLUME:
            continue
        name, path, *mode = (*said.text.split(), "", "")[: max(len(said.text.split()), 2)]
        if not path or mode not in ([], ["ro"], ["rw"]) or ":" in path + name.partition("@")[0]:
            raise refusal(
                script.path.name,
                said.line,
                f"{said.text[:80]!r} is no volume",
                "write volume: NAME PATH [ro]",
            )
        yield said.line, name, path, f":{mode[0]}" if mode else ""
