"""Which requests a rule means, by method and path. Pure."""

import re
from collections.abc import Sequence
from urllib.parse import unquote

_ODD = re.compile(r"%(2f|5c|00)|\\|//|;", re.IGNORECASE)  # servers differ in what they make of these
_DOTS = frozenset({".", ".."})


def fits(methods: Sequence[str], paths: Sequence[str], method: str, path: str) -> bool:
    """Whether a request is among them; no methods, or no paths, mean all."""
    return (not methods or method in methods) and (not paths or any(_fits(each, path) for each in paths))


def _fits(pattern: str, path: str) -> bool:
    """Compare with what every server makes of a path; "*" at the end of a pattern stands for any rest."""
    if pattern == "*":
        return True
    plain = _plain(path)
    if plain is None:
        return False
    return plain.startswith(pattern[:-1]) if pattern.endswith("*") else plain == pattern


def _plain(path: str) -> str | None:
    """Return a path without escapes; None: two servers could read it differently."""
    try:
        plain = unquote(path, errors="strict")
    except UnicodeDecodeError:  # among them what decodes to a dot or a slash for who takes too long forms
        return None
    if _ODD.search(path) or "%" in plain or not plain.isprintable():
        return None
    return None if _DOTS & set(plain.split("/")) else plain
