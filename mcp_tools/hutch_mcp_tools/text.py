"""Makes untrusted text harmless: what a sandbox prints cannot move a cursor, hide, or speak in our name."""

import json
import re

# Escape sequences (ECMA-48, 5.4 to 5.6): CSI; OSC, which BEL or ST ends; DCS, SOS, PM and APC; and others.
# One that never ends takes its own line at most.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|(?:\x1b[PX^_]|[\x90\x98\x9e\x9f])[^\x1b\x9c\n]*(?:\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]"
)

# Every replacement is one character for at least one byte, so that shown text is never longer than its bytes.
_CONTROLS = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"} | {0x7F: "\u2421"}
_HIDDEN = (
    *range(0x80, 0xA0),  # C1 controls, NEL among them
    0x200B,  # zero width space; the joiners stay, for scripts and emoji that need them
    *range(0x200E, 0x2010),
    *range(0x2028, 0x202F),  # line separators, and the controls that turn reading order around
    *range(0x2060, 0x2070),
    0xFEFF,
    *range(0xFFF9, 0xFFFC),
    *range(0xE0000, 0xE0080),  # tags: invisible, yet read by models
)
_HARMLESS = _CONTROLS | dict.fromkeys(_HIDDEN, "\ufffd")

_UNSEEN = re.compile("[" + "".join(map(chr, (0x7F, *_HIDDEN))) + "]")

_SIGNS = {"\a": "\\a", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\v": "\\v", "\f": "\\f", "\r": "\\r"}  # git's
_SIGNS |= {'"': '\\"', "\\": "\\\\"}

# How the lines begin that an answer says of itself. A line of output that begins so is shown with one more
# backslash in front, so that no output can pass for the answer's own words.
_OURS = re.compile(r"\\*(?:---|\[…|exit_code=|changed:|note:|full log:|still running:)")


def harmless(text: str) -> str:
    """Without escape sequences; other control and invisible characters visible. Keeps tabs and newlines."""
    return _ESCAPES.sub("", text).translate(_HARMLESS)


def harmless_source(text: str) -> str:
    """For files: an escape character becomes visible instead of its sequence being removed; CR LF stays."""
    return "\r\n".join(part.translate(_HARMLESS) for part in text.split("\r\n"))


def harmless_json(document: str) -> str:
    """The same JSON; what would control a terminal, or hide on it, is escaped by its number (RFC 8259, 7)."""
    return _UNSEEN.sub(_escaped, document)


def quoted(line: str) -> str:
    """A line of output that cannot be taken for one of the answer's own."""
    return f"\\{line}" if _OURS.match(line) else line


def one_line(text: str, limit: int) -> str:
    """Harmless, in one line, at most `limit` characters."""
    flat = harmless(text[: 4 * limit]).replace("\n", " ").replace("\t", " ").strip()
    return flat if len(flat) <= limit and len(text) <= 4 * limit else flat[: limit - 1] + "…"


def json_string(text: str, limit: int) -> str:
    """One line, between quotes, so that it has an end that it cannot forge."""
    return json.dumps(one_line(text, limit), ensure_ascii=False)


def whole_characters(data: bytes) -> int:
    """How many of these bytes are whole UTF-8 characters, where the last one may be cut."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte & 0xC0 != 0x80:  # not a continuation byte: here the last character begins
            length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            return len(data) - back if length > back else len(data)
    return len(data)


def patch_name(path: str) -> str:
    """Return a file's name as a patch has it: in quotes, as git does, where it would end its line."""
    if not any(sign < " " or sign in '"\\\x7f' for sign in path):
        return path
    return f'"{"".join(_SIGNS.get(sign) or _octal(sign) for sign in path)}"'


def _escaped(sign: re.Match[str]) -> str:
    """Beyond the first 65,536 characters a pair of surrogates."""
    return "".join(f"\\u{unit:04x}" for unit in memoryview(sign[0].encode("utf-16")).cast("H")[1:])


def _octal(sign: str) -> str:
    return f"\\{ord(sign):03o}" if sign < " " or sign == "\x7f" else sign
