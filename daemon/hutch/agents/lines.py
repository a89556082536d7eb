"""Lines out of a hostile stream of bytes, in bounded memory, and the JSON in them."""

import json
from collections.abc import Iterator

MAX_LINE = 8 << 20  # bytes; a picture that a tool read comes in one line
TEXT = 256_000  # characters of a message
LINE = 300  # characters of a summary
_LEVELS = 64  # of a result; records on the wire take 255


class Lines:
    """Splits what it is fed into lines that are not empty; what is too long is counted and skipped."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._is_too_long = False  # drop what comes, up to the next line's end
        self.skipped = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            self._add(chunk[start:end])
            yield from self._take()
            start = end + 1
        self._add(chunk[start:])

    def close(self) -> Iterator[bytes]:
        """Yield the last line, which need not have an end."""
        yield from self._take()

    def _add(self, piece: bytes) -> None:
        if len(self._rest) + len(piece) > MAX_LINE:
            self._is_too_long = True
            self._rest.clear()
        elif not self._is_too_long:
            self._rest += piece

    def _take(self) -> Iterator[bytes]:
        line, is_too_long = bytes(self._rest), self._is_too_long
        self._rest.clear()
        self._is_too_long = False
        if is_too_long:
            self.skipped += 1
        elif line:
            yield line


class JsonLines:
    """The objects among the lines of what it is fed; all else is counted and skipped."""

    def __init__(self) -> None:
        self._lines = Lines()
        self._others = 0

    @property
    def skipped(self) -> int:
        return self._lines.skipped + self._others

    def feed(self, chunk: bytes) -> Iterator[dict[str, object]]:
        return self._objects(self._lines.feed(chunk))

    def close(self) -> Iterator[dict[str, object]]:
        """Yield the last line, which need not have an end."""
        return self._objects(self._lines.close())

    def _objects(self, lines: Iterator[bytes]) -> Iterator[dict[str, object]]:
        for line in lines:
            value = object_in(line)
            if value is None:
                self._others += 1
            else:
                yield value


def object_in(line: bytes) -> dict[str, object] | None:
    """Return the JSON object that a line is; None: it is none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):  # ValueError: not JSON, not UTF-8, or a number of absurd length
        return None
    return value if isinstance(value, dict) else None


# Values of a form that somebody else chose ----------------------------------------


def text_of(value: object, limit: int) -> str:
    """Return a string as valid Unicode of at most `limit` characters, else an empty one."""
    if not isinstance(value, str):
        return ""
    cut = value if len(value) <= limit else value[: limit - 1] + "…"
    # JSON may hold half a surrogate pair, which SQLite refuses
    return cut.encode("utf-8", "replace").decode()


def one_line(text: str) -> str:
    """Return a summary for a person's eyes."""
    return text_of(" ".join(text[: LINE * 4].split()), LINE)


def count_of(value: object) -> int:
    """Return a plausible count, else 0."""
    return value if type(value) is int and 0 <= value < 1 << 48 else 0  # a bool is an int, but no count


def amount_of(value: object) -> float | None:
    """Return a plausible amount of money, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 1e9 else None  # false for NaN


def json_of(value: object, limit: int) -> object:
    """Return a JSON value with valid Unicode, finite numbers and few levels. Raises ValueError."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if len(text) > limit:
        raise ValueError(f"longer than {limit} characters")
    made: object = json.loads(text.encode("utf-8", "replace"))
    if _levels(made) > _LEVELS:
        raise ValueError(f"nested more than {_LEVELS} deep")
    return made


def _levels(value: object) -> int:
    """Count how deep lists and objects are nested."""
    count, level = 0, [value] if isinstance(value, dict | list) else []
    while level:
        count += 1
        inner = [each for outer in level for each in (outer.values() if isinstance(outer, dict) else outer)]
        level = [each for each in inner if isinstance(each, dict | list)]
    return count


def object_of(value: object) -> dict[str, object]:
    """Return a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def objects_of(value: object) -> list[dict[str, object]]:
    """Return the objects of a JSON array."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
