"""What a script's `main` takes, read from its text without running it."""

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from hutch.scripts.languages import Guest, Language
from hutch.scripts.parameters import split_parameters


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of `main`."""

    name: str
    is_required: bool
    kinds: tuple[str, ...] = ()  # of JSON, that it takes: "text", "number", …; empty: whatever


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters of `main`, in their order."""

    parameters: tuple[Parameter, ...]
    takes_others: bool = False  # any other argument too, by its name
    is_object: bool = False  # it takes all arguments as one object


class Unreadable:
    """There is a `main`, and only running it tells what it takes."""


UNREADABLE = Unreadable()


def signature_of(text: str, language: Language) -> Signature | Unreadable | None:
    """Return what `main` takes; None: there is none, and the script is a program by itself."""
    if language.guest is Guest.PYTHON:
        return _of_python(text)
    if language.guest is Guest.BASH:
        return _of_bash(text)
    return _of_javascript(text)


# Python ------------------------------------------------------------

# Python 3.11 takes minutes, in which no other thread has its turn, for one f-string of all fields that fit
_MOST_BRACES = 10_000
_KINDS = {
    "str": ("text",),
    "int": ("whole number",),
    "float": ("number", "whole number"),
    "bool": ("true or false",),
    "dict": ("object",),
    "list": ("list",),
}


def _of_python(text: str) -> Signature | Unreadable | None:
    if text.count("{") > _MOST_BRACES:
        return UNREADABLE
    try:
        with warnings.catch_warnings():  # what it says of a script is for its author
            warnings.simplefilter("ignore")
            body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return UNREADABLE  # perhaps newer than this Python; the one inside will tell
    found: Signature | Unreadable | None = None
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == "main":
            found = UNREADABLE if node.decorator_list else _of_function(node.args)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "main" in set(_bound(node)):
            found = UNREADABLE
    return found


def _of_function(arguments: ast.arguments) -> Signature | Unreadable:
    if arguments.posonlyargs:
        return UNREADABLE
    needed = len(arguments.args) - len(arguments.defaults)
    required = [n < needed for n in range(len(arguments.args))]
    required += [default is None for default in arguments.kw_defaults]
    taken = (*arguments.args, *arguments.kwonlyargs)
    return Signature(
        tuple(Parameter(a.arg, must, _kinds(a.annotation)) for a, must in zip(taken, required, strict=True)),
        takes_others=arguments.kwarg is not None,
    )


def _kinds(annotation: ast.expr | None) -> tuple[str, ...]:
    """What a plain annotation takes; one that is more than a built-in name is left to the script."""
    if isinstance(annotation, ast.Subscript):
        annotation = annotation.value
    return _KINDS.get(annotation.id, ()) if isinstance(annotation, ast.Name) else ()


def _bound(node: ast.stmt) -> Iterator[str]:
    """Names that a statement at the top may bind."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            yield part.id
        elif isinstance(part, ast.alias):
            yield part.asname or part.name
        elif isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) and isinstance(node, ast.If | ast.Try):
            yield part.name


# JavaScript and TypeScript ------------------------------------------------------------

# Bounds: a script may be made to be read slowly
_MAIN = re.compile(
    r"^export[ \t]{1,8}(?:default[ \t]{1,8})?(?:async[ \t]{1,8})?function[ \t]{1,8}main\s{0,8}"
    r"(?:<[^(]{0,200}>)?\s{0,8}\("
    r"|^export[ \t]{1,8}const[ \t]{1,8}main\b[^=(]{0,200}=\s{0,8}(?:async\s{0,8})?"
    r"(?:function\b[^(]{0,80})?\(",
    re.MULTILINE,
)
_EXPORTED = re.compile(
    r"^export\s{0,8}(?:\{[^}]{0,200}\bmain\b|(?:const|let|var)[ \t]{1,8}main\b)", re.MULTILINE
)
_NAME = re.compile(r"(?P<rest>\.\.\.)?\s*(?P<name>[A-Za-z_$][\w$]*)\s*(?P<mark>[?:=]|$)", re.ASCII)


def _of_javascript(text: str) -> Signature | Unreadable | None:
    found = _MAIN.search(text)
    if found is None:
        return UNREADABLE if _EXPORTED.search(text) else None
    parts = split_parameters(text, found.end())
    if parts is None:
        return UNREADABLE
    if len(parts) == 1 and parts[0].startswith("{"):
        return Signature((), is_object=True)
    parameters = []
    for part in parts:
        name = _NAME.match(part)
        if name is None or name["rest"]:
            return UNREADABLE
        is_required = name["mark"] != "?" and not re.search(r"(?<![=!<>])=(?![=>])", part)
        parameters.append(Parameter(name["name"], is_required))
    return Signature(tuple(parameters))


# Bash ------------------------------------------------------------

_POSITIONAL = re.compile(
    r"^[ \t]*(?:(?:local|export|declare|readonly|typeset)[ \t]+)?(?P<name>[A-Za-z_]\w*)="
    r"\"?\$(?:(?P<plain>[1-9])(?!\d)|\{(?P<number>[1-9]\d?)(?P<default>:?-[^}]*)?\})",
    re.MULTILINE | re.ASCII,
)


def _of_bash(text: str) -> Signature:
    """A Bash script names its parameters itself, in lines like `name="$1"` and `count="${2:-10}"`."""
    named: dict[int, Parameter] = {}
    for found in _POSITIONAL.finditer(text):
        number = int(found["plain"] or found["number"])
        named.setdefault(number, Parameter(found["name"], found["default"] is None))
    taken: list[Parameter] = []
    while len(taken) + 1 in named:  # after a gap there is no position for a name
        taken.append(named[len(taken) + 1])
    return Signature(tuple(taken))
