"""Templates in a volume's name: `$workspace` and `$args[user.id]`, resolved once, when a run starts.

What a template becomes is text and is never read as a template, a path or a mount again: a value may hold
nothing that has a meaning there. The name as a whole is checked by whoever reads it.
"""

import re
from collections.abc import Mapping

from hutch.errors import HutchError

_PLACE = re.compile(
    r"\$workspace(?![A-Za-z0-9_])|\$args\[(?P<keys>[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)\]", re.ASCII
)
_WORD = re.compile(r"\$[A-Za-z_]*(?:\[[^\]]*\]?)?")
_VALUE = re.compile(r"[A-Za-z0-9._-]{1,255}", re.ASCII)
_MOST = 10**18  # whole numbers that are taken as a part of a name
_SHOWN = 120
_VALUE_HINT = "a value is text of A-Z a-z 0-9 . _ - without two dots in a row, or a whole number"
_HINT = "templates are $workspace and $args[NAME], or $args[NAME.NAME] for a value within an object"


def interpolate(text: str, *, workspace: str, args: Mapping[str, object]) -> str:
    """Return `text` with each template in it resolved; text without a "$" is returned as it is.

    Raises:
        HutchError: `template_invalid` for what is not a template, `argument_invalid` for a value that is
            missing or cannot be a part of a name. Both show the text and the place.
    """
    parts, at = [], 0
    while (dollar := text.find("$", at)) >= 0:
        found = _PLACE.match(text, dollar)
        if found is None:
            said = _WORD.match(text, dollar)
            raise HutchError(
                "template_invalid", _at(text, dollar, said and said[0], " is no template"), _HINT
            )
        parts.append(text[at:dollar])
        if found["keys"] is None:
            parts.append(workspace)
        else:
            parts.append(_part(args, found["keys"].split("."), text, dollar))
        at = found.end()
    return "".join(parts) + text[at:]


def _part(args: Mapping[str, object], keys: list[str], text: str, at: int) -> str:
    value: object = args
    for n, key in enumerate(keys):
        if not isinstance(value, Mapping) or key not in value:
            path = ".".join(keys[: n + 1])
            said = f"--arg {keys[0]}=TEXT" if len(keys) == 1 else f"--arg {keys[0]}:=JSON, an object"
            raise _unusable(text, at, keys, f"there is no argument {path!r}", f"give it: {said}")
        value = value[key]
    if isinstance(value, int) and not isinstance(value, bool) and -_MOST < value < _MOST:
        value = str(value)
    if not isinstance(value, str):
        raise _unusable(text, at, keys, f"its value is {_KINDS.get(type(value), 'not a text')}")
    if not _VALUE.fullmatch(value) or ".." in value:
        raise _unusable(text, at, keys, f"its value cannot be a part of a volume's name: {_short(value)}")
    return value


_KINDS = {
    dict: "an object",
    list: "a list",
    bool: "true or false",
    type(None): "null",
    float: "not a whole number",
    int: "too large a number",
}


def _unusable(text: str, at: int, keys: list[str], why: str, hint: str = _VALUE_HINT) -> HutchError:
    return HutchError("argument_invalid", _at(text, at, f"$args[{'.'.join(keys)}]", f": {why}"), hint)


def _at(text: str, at: int, said: str | None, what: str) -> str:
    return f"{_short(text)}, character {at + 1}: {_short(said or text[at:])}{what}"


def _short(text: str) -> str:
    return ascii(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
