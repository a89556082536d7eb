"""How a script is started inside: its command, and the files that are there for it to be read. Pure."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import PurePosixPath

from hutch.errors import HutchError
from hutch.scripts.languages import Guest, Language, language_of
from hutch.scripts.signature import Parameter, Signature, Unreadable, signature_of

MAX_SCRIPT = 1 << 20  # bytes
MAX_ARGS = 1 << 20  # bytes of all arguments, as JSON
_MAX_NAME = 200  # bytes; file systems take 255
_MAX_WORD = 128 * 1024 - 1  # bytes of one argument of a program: execve(2), MAX_ARG_STRLEN
_FOLDER = "script"  # beneath what a run is given
# Has the folder of the given files: a method without mounts maps variables, and no words
FOLDER = "HUTCH_SCRIPT"
_GUESTS = {
    Guest.PYTHON: ("python3", "python.py"),
    Guest.JAVASCRIPT: ("sh", "javascript.sh", "javascript.mjs"),
    Guest.BASH: ("bash", "bash.sh"),
}
_KINDS: dict[type, str] = {
    str: "text",
    bool: "true or false",
    int: "whole number",
    float: "number",
    dict: "object",
    list: "list",
}


@dataclass(frozen=True, slots=True)
class Script:
    """A script as it was handed over."""

    name: str  # of its file
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Started:
    """What a script needs inside."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    given: Mapping[str, bytes] = field(repr=False)  # path beneath what the run is given -> content
    language: Language
    has_result: bool  # its standard output is what `main` returned


def start(
    script: Script, args: Mapping[str, object], elsewhere: Collection[str], folder: PurePosixPath
) -> Started:
    """Say how to run it. `elsewhere` are arguments of other use; `folder` is where the given files will be.

    Raises HutchError `script_invalid`, `argument_invalid`.
    """
    language = language_of(script.name)
    name = PurePosixPath(script.name).name
    if name.startswith(".") or "\0" in name or len(name.encode("utf-8", "replace")) > _MAX_NAME:
        raise HutchError("script_invalid", f"no script can be called {name[:80]!r}", "give it a plain name")
    source = script.text.encode("utf-8", "replace")
    if len(source) > MAX_SCRIPT:
        raise HutchError("script_invalid", f"{name[:80]} is over 1 MiB", "put what is large into a volume")
    found = signature_of(script.text, language)
    taken = _taken(name, found, args, elsewhere)
    own = f"{_FOLDER}/of/{name}"
    call: dict[str, object] = {"script": name, "args": taken}
    if isinstance(found, Signature):
        call |= {"order": None if found.is_object else [p.name for p in found.parameters]}
    elif language.guest is Guest.JAVASCRIPT and found is not None:
        raise HutchError(
            "script_invalid",
            f"{name}: what main takes cannot be read",
            "write it as: export async function main(name, other) { … }",
        )
    call |= {"has_main": found is not None}
    given = {own: source, f"{_FOLDER}/call.json": _json(call)}
    if isinstance(found, Signature) and language.guest is Guest.BASH:
        given[f"{_FOLDER}/words"] = b"".join(word + b"\0" for word in _words(found, taken))
    program, *files = _GUESTS[language.guest]
    for file in files:
        given[f"{_FOLDER}/{file}"] = resources.files(__package__).joinpath("guest", file).read_bytes()
    line = f'exec {program} "${FOLDER}/{files[0]}" "$@"'
    words = ("main" if found is not None else "program", language.name)
    env = {FOLDER: str(folder / _FOLDER)}
    return Started(("sh", "-c", line, program, *words), env, given, language, found is not None)


def _json(call: Mapping[str, object]) -> bytes:
    data = json.dumps(call).encode()
    if len(data) > MAX_ARGS:
        raise HutchError(
            "argument_invalid", "the arguments are over 1 MiB", "put what is large into a volume"
        )
    return data


def _taken(
    name: str,
    found: Signature | Unreadable | None,
    args: Mapping[str, object],
    elsewhere: Collection[str],
) -> dict[str, object]:
    """Return the arguments that `main` gets; those it does not take may be there for something else."""
    if isinstance(found, Unreadable):
        return dict(args)
    if found is None:
        signature, none = Signature(()), f"{name} has no main, which would take"
    else:
        signature, none = found, "main does not take"
    known = {parameter.name: parameter for parameter in signature.parameters}
    takes_all = signature.takes_others or signature.is_object
    for given in args:
        if given not in known and not takes_all and given not in elsewhere:
            said = f"it takes {', '.join(known) or 'none'}"
            raise HutchError("argument_invalid", f"{none} an argument {given!r}", said)
    for parameter in signature.parameters:
        _refuse_unfit(parameter, args)
    return {key: value for key, value in args.items() if takes_all or key in known}


def _refuse_unfit(parameter: Parameter, args: Mapping[str, object]) -> None:
    name = parameter.name
    if name not in args:
        if parameter.is_required:
            raise HutchError(
                "argument_invalid", f"main needs an argument {name!r}", f"give it: --arg {name}=TEXT"
            )
        return
    kind = _KINDS.get(type(args[name]))
    if kind and parameter.kinds and kind not in parameter.kinds:
        how = f"--arg {name}=TEXT" if parameter.kinds == ("text",) else f"--arg {name}:=JSON"
        raise HutchError(
            "argument_invalid", f"main takes {parameter.kinds[0]} as {name!r}, not {kind}", f"write it {how}"
        )


def _words(signature: Signature, args: Mapping[str, object]) -> list[bytes]:
    """What a Bash script gets by position: one that is left out is empty, so that its default is taken."""
    values = [_word(p.name, args[p.name]) if p.name in args else None for p in signature.parameters]
    while values and values[-1] is None:
        values.pop()
    return [value or b"" for value in values]


def _word(name: str, value: object) -> bytes:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    data = text.encode("utf-8", "replace")
    if b"\0" in data or len(data) > _MAX_WORD:
        raise HutchError(
            "argument_invalid", f"argument {name!r} holds a NUL or is over 128 KiB", "put it into a volume"
        )
    return data
