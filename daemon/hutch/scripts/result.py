"""What `main` returned, as the run's standard output tells it: bounded JSON, whoever wrote it. Pure."""

import json
import math
from collections.abc import Iterator

from hutch.errors import HutchError
from hutch.scripts.languages import Guest, Language

MAX_RESULT = 1 << 20  # bytes
MAX_DEPTH = 64  # of lists and objects in each other
_OPEN, _CLOSE = b"[{", b"]}"


def read_result(stdout: bytes, language: Language) -> object:
    """Return the result, of JSON; None also where there is none. Of Bash, what is no JSON is a text.

    Raises HutchError `result_invalid`.
    """
    if len(stdout) > MAX_RESULT:
        raise _invalid(f"is over {MAX_RESULT >> 20} MiB", "write what is large into a volume")
    data = stdout.strip()
    if not data:
        return None
    try:
        return _checked(data)
    except HutchError:
        if language.guest is not Guest.BASH:
            raise
        return data.decode("utf-8", "replace")


def _checked(data: bytes) -> object:
    if _depth(data) > MAX_DEPTH:
        raise _invalid(f"is nested over {MAX_DEPTH} deep", "return something flatter")
    try:
        value = json.loads(data, parse_constant=_no_json)
        json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate is no text
    except (ValueError, RecursionError):
        raise _invalid("is not one JSON document", "only main may write it") from None
    if any(isinstance(number, float) and not math.isfinite(number) for number in _numbers(value)):
        raise _invalid("holds a number that JSON has not", "return it as text")
    return value


def _depth(data: bytes) -> int:
    """How deep it is at most, if it is JSON; without building any of it."""
    depth = most = 0
    inside = escaped = False
    for byte in data:
        if inside:
            inside = escaped or byte != 0x22
            escaped = byte == 0x5C and not escaped
        elif byte == 0x22:
            inside = True
        elif byte in _OPEN:
            depth += 1
            most = max(most, depth)
        elif byte in _CLOSE:
            depth -= 1
    return most


def _numbers(value: object) -> Iterator[object]:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _numbers(part)
    else:
        yield value


def _no_json(word: str) -> None:
    raise ValueError(word)


def _invalid(why: str, hint: str) -> HutchError:
    return HutchError("result_invalid", f"the result {why}", hint)
