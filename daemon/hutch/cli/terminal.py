"""What a sandbox writes, shown on a terminal: colours stay; nothing moves the cursor, retitles or answers.

A program's output goes to a pipe or a file byte for byte; only a terminal obeys what it is told.
"""

import codecs
import re
from typing import BinaryIO

from hutch_mcp_tools.text import harmless

# Kept as they are: colours (ECMA-48 SGR) and a carriage return, which progress bars need.
_KEPT = re.compile(r"(\x1b\[[0-9;:]*m|\r)")
# A sequence that the next piece of output may complete.
_BEGUN = re.compile(
    r"(?:\x1b|(?:\x1b\[|\x9b)[0-?]*[ -/]*|\x1b[ -/]+"
    r"|(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*\x1b?)\Z"
)
_HELD = 4096  # characters of a sequence that is not complete; a longer one is not a sequence
_RESET = "\x1b[0m"


class SafeText:
    """Turns bytes as they come into text that a terminal may be given."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = ""
        self._is_coloured = False

    def feed(self, data: bytes) -> str:
        """Take any piece of the output; return what of it can be shown by now."""
        text = self._begun + self._decoder.decode(data)
        begun = _BEGUN.search(text, max(len(text) - _HELD, 0))
        cut = begun.start() if begun else len(text)
        self._begun = text[cut:]
        return self._shown(text[:cut])

    def end(self) -> str:
        """Return what is left, and the end of any colour."""
        rest = self._shown(self._begun + self._decoder.decode(b"", final=True))
        self._begun = ""
        return rest + (_RESET if self._is_coloured else "")

    def _shown(self, text: str) -> str:
        parts = _KEPT.split(text)
        self._is_coloured = self._is_coloured or any(part.startswith("\x1b") for part in parts[1::2])
        return "".join(part if n % 2 else harmless(part) for n, part in enumerate(parts))


class Sink:
    """One of our own streams, taking a sandbox's bytes: made safe for a terminal, else untouched."""

    def __init__(self, stream: BinaryIO, *, raw: bool = False) -> None:
        self._stream = stream
        self._safe = SafeText() if stream.isatty() and not raw else None

    def write(self, data: bytes) -> None:
        self._stream.write(self._safe.feed(data).encode() if self._safe else data)
        self._stream.flush()

    def end(self) -> None:
        if self._safe:
            self._stream.write(self._safe.end().encode())
        self._stream.flush()
