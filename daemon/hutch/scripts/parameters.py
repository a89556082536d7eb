"""The parameters between two parentheses of JavaScript or TypeScript, as far as text alone can tell."""

_OPEN = {"(": ")", "[": "]", "{": "}", "<": ">"}
_QUOTES = "\"'`"
_MOST = 20_000  # characters; a list of parameters is shorter


def split_parameters(text: str, start: int) -> list[str] | None:
    """Return each parameter's text, from behind the opening parenthesis on; None: it has no end here."""
    parts: list[str] = [""]
    awaited: list[str] = []
    at, most = start, min(len(text), start + _MOST)
    while at < most:
        end = _token(text, at)
        part = text[at:end]
        at = end
        if part == ")" and not awaited:
            return [each.strip() for each in parts if each.strip()]
        if part == "," and not awaited:
            parts.append("")
            continue
        if awaited and part == awaited[-1]:
            awaited.pop()
        elif part in _OPEN:
            awaited.append(_OPEN[part])
        parts[-1] += "" if part.startswith(("//", "/*")) else part
    return None


def _token(text: str, at: int) -> int:
    """Return where what begins here ends: a comment, a string, an arrow, or a character."""
    if text.startswith("//", at):
        return _behind(text, at, "\n")
    if text.startswith("/*", at):
        return _behind(text, at + 2, "*/")
    if text.startswith("=>", at):
        return at + 2
    if text[at] not in _QUOTES:
        return at + 1
    end = at + 1
    while end < len(text) and text[end] != text[at]:
        end += 2 if text[end] == "\\" else 1
    return end + 1


def _behind(text: str, at: int, mark: str) -> int:
    found = text.find(mark, at)
    return len(text) if found < 0 else found + len(mark)
