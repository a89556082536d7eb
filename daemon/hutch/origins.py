"""Where a request may go: hosts, a port, and whether TLS proves who answers. Pure."""

from dataclasses import dataclass

from hutch.destinations import Pattern, read_pattern

_PLAIN = "http://"
_PLAIN_PORT = 80


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """A host, or all below one, at a port, by https or by http."""

    pattern: Pattern
    is_tls: bool = True

    def covers(self, host: str, port: int, *, is_tls: bool) -> bool:
        return self.is_tls == is_tls and self.pattern.covers(host, port)

    def __str__(self) -> str:
        return f"{'' if self.is_tls else _PLAIN}{self.pattern}"


def read_origin(text: str) -> Origin:
    """Read "host", "host:port" or "*.host", of https; or "http://host:port", of a service near by.

    Raises NotADestinationError.
    """
    if not text.startswith(_PLAIN):
        return Origin(read_pattern(text.removeprefix("https://")))
    rest = text.removeprefix(_PLAIN)
    return Origin(read_pattern(rest if ":" in rest else f"{rest}:{_PLAIN_PORT}"), is_tls=False)
