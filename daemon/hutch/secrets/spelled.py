"""A value as texts spell it: each character plain or escaped, as JSON, URLs, HTML and scripts do it. Pure."""

import re
from collections.abc import Iterable

_SURE = 8  # characters that are compared at once: what begins so by chance is rare; no value is shorter
_NAMED = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}
_SHORT = {'"': b'\\"', "\\": b"\\\\", "/": b"\\/", "'": b"\\'", " ": b"+"}


class Spelled:
    """Finds a value however its characters are escaped, each in a way of its own too."""

    def __init__(self, value: bytes) -> None:
        text = value.decode("utf-8", "surrogateescape")
        self._characters = tuple(_ways(character) for character in text)
        self._begin = re.compile(b"".join(_any_of(ways) for ways in self._characters[:_SURE]))
        self._sure = sum(len(ways[0]) for ways in self._characters[:_SURE])
        self._longest = sum(len(ways[0]) for ways in self._characters)

    def found(self, data: bytes) -> Iterable[tuple[int, int]]:
        """Yield where it stands wholly: from, to."""
        at = 0
        while found := self._begin.search(data, at):
            at = found.start() + 1
            if (end := self._end(data, found.start())) is not None:
                yield found.start(), end
                at = end

    def begun(self, data: bytes) -> int:
        """Return where it may begin that is not all there; the length of `data`: nowhere."""
        at = max(0, len(data) - self._longest + 1)
        tail = max(at, len(data) - self._sure)
        while (found := self._begin.search(data, at)) and found.start() < tail:
            if self._may_go_on(data, found.start()):
                return found.start()
            at = found.start() + 1
        return next((at for at in range(tail, len(data)) if self._may_go_on(data, at)), len(data))

    def _end(self, data: bytes, at: int) -> int | None:
        places = {at}  # a way may begin as another does: "%" and "%25"
        for ways in self._characters:
            if not (places := _next(data, places, ways)):
                return None
        return max(places)

    def _may_go_on(self, data: bytes, at: int) -> bool:
        places = {at}
        for ways in self._characters:
            near = [data[place:] for place in places if place + len(ways[0]) > len(data)]
            if any(way.startswith(rest) for rest in near for way in ways):
                return True
            if not (places := _next(data, places, ways)):
                break
        return False


def _next(data: bytes, places: Iterable[int], ways: Iterable[bytes]) -> set[int]:
    """Return where a character may end that begins at one of these places."""
    return {place + len(way) for place in places for way in ways if data.startswith(way, place)}


def _ways(character: str) -> tuple[bytes, ...]:
    """Return how one character may be written, the longest first."""
    plain = character.encode("utf-8", "surrogateescape")
    percent = "".join(f"%{byte:02X}" for byte in plain)
    ways = [plain, percent.encode(), percent.lower().encode()]
    if not "\udc80" <= character <= "\udcff":  # a byte that is no text has no number as one
        code = ord(character)
        units = character.encode("utf-16-be")
        escaped = "".join(f"\\u{units[n]:02x}{units[n + 1]:02x}" for n in range(0, len(units), 2))
        numbers = [f"&#{code};", f"&#{code:03};", f"&#x{code:x};", f"&#x{code:X};", escaped]
        numbers += [escaped.upper().replace("\\U", "\\u"), f"\\x{code:02x}", f"\\x{code:02X}"]
        ways += [way.encode() for way in numbers]
    if character in _NAMED:
        ways.append(f"&{_NAMED[character]};".encode())
    if character in _SHORT:
        ways.append(_SHORT[character])
    return tuple(sorted(set(ways), key=lambda way: (-len(way), way)))


def _any_of(ways: Iterable[bytes]) -> bytes:
    return b"(?:" + b"|".join(map(re.escape, ways)) + b")"
