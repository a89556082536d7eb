"""References to secrets in what an agent's MCP servers are given: `secret:NAME`, in a header or a variable.

What is asked of an agent is stored and shown, so it holds no credentials: a reference becomes the placeholder
of its run, and that the value on its way out. What looks like a credential itself is refused.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from urllib.parse import parse_qsl, urlsplit

from hutch.agents import McpServer
from hutch.errors import HutchError
from hutch.runs.path.exchanging import Fill, nothing_to_fill
from hutch_mcp_tools.agent_records import McpServerSpec

_REFERENCE = re.compile(r"(?<![A-Za-z0-9_])secret:([a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?)")
# The agent takes it from its own environment, or from a file
_ELSEWHERE = re.compile(r"\$\{?\w|\{env:|\{input:|%\w+%|^(~|\.{1,2})?/")
_TELLING = re.compile(
    r"(token|secret|passw(or)?d|passphrase|credentials?|cookie|authorization|(^|[_-])key|(api|access|private)key)$",
    re.IGNORECASE,
)
_KNOWN = re.compile(
    r"\b(sk-[\w-]{16}|gh[opsur]_\w{16}|github_pat_\w{16}|glpat-[\w-]{16}|xox[abeprs]-[\w-]{10}|AKIA[0-9A-Z]{16}"
    r"|AIza[\w-]{30}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.)|-----BEGIN [A-Z ]*PRIVATE KEY|://[^/\s:@]*:[^/\s@]+@"
    r"|^(?i:bearer|basic)\s+\S{8}"
)
_LEAST = 8  # characters: the least of any secret


def refuse_credentials(servers: Mapping[str, McpServerSpec]) -> None:
    """Raise HutchError `turn_invalid` for what looks like a credential itself. Says where, and never what."""
    for name, server in servers.items():
        where = next(_credentials_in(server), None)
        if where:
            raise HutchError(
                "turn_invalid",
                f"{where} of MCP server {name[:80]!r} looks like a credential",
                "write secret:NAME in its place; what a secret is: hutch secret add --help",
            )


def secrets_of(servers: Mapping[str, McpServerSpec]) -> tuple[str, ...]:
    """Return the names that are referred to, each once."""
    texts = (text for server in servers.values() for text in (*server.env.values(), *server.headers.values()))
    return tuple(dict.fromkeys(name for text in texts for name in _REFERENCE.findall(text)))


@dataclass(slots=True)
class References:
    """Of one turn. Until it has placeholders, marks stand for them that nothing else can hold."""

    _marks: dict[str, str] = field(default_factory=dict)

    def marked(self, server: McpServer) -> McpServer:
        """Return the server with marks in place of its references."""
        return McpServer(server.command, self._all(server.env), server.url, self._all(server.headers))

    def filling(self, given: Path, files: Mapping[str, bytes], env: Mapping[str, str]) -> Fill:
        """Return what puts placeholders into these files beneath `given`, and into the environment."""

        def fill(placeholders: Mapping[str, str]) -> Mapping[str, str]:
            found = {mark: _placeholder(name, placeholders) for name, mark in self._marks.items()}
            for path, content in files.items():
                if (filled := _filled(content.decode("utf-8", "replace"), found)) is not None:
                    (given / path).write_text(filled, "utf-8")
            return {
                name: filled for name, text in env.items() if (filled := _filled(text, found)) is not None
            }

        return fill if self._marks else nothing_to_fill

    def _all(self, values: Mapping[str, str]) -> dict[str, str]:
        return {key: _REFERENCE.sub(lambda found: self._mark(found[1]), text) for key, text in values.items()}

    def _mark(self, name: str) -> str:
        return self._marks.setdefault(name, f"hutch-secret-{token_hex(16)}")


def _placeholder(name: str, placeholders: Mapping[str, str]) -> str:
    if name not in placeholders:
        raise HutchError(
            "secret_missing",
            f"an MCP server refers to secret {name!r}, and this run has no placeholder for it",
            f"see: hutch secret check {name}; one whose value itself is inside has none",
        )
    return placeholders[name]


def _filled(text: str, found: Mapping[str, str]) -> str | None:
    """Return the text with placeholders; None: there is nothing in it to be filled."""
    filled = text
    for mark, placeholder in found.items():
        filled = filled.replace(mark, placeholder)
    return filled if filled != text else None


def _credentials_in(server: McpServerSpec) -> Iterator[str]:
    for kind, values in (("variable", server.env), ("header", server.headers)):
        for name, text in values.items():
            if _is_one(name, text):
                yield f"{kind} {name[:80]!r}"
    arguments = [server.command or "", *server.args]
    for before, text in zip(("", *arguments), arguments, strict=False):
        option, equals, value = text.partition("=")
        if _is_one(option if equals else before * before.startswith("-"), value if equals else text):
            yield "an argument"
    if server.url and (_KNOWN.search(server.url) or any(_is_one(*pair) for pair in _query(server.url))):
        yield "the url"


def _query(url: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(urlsplit(url).query, max_num_fields=1000)
    except ValueError:
        return []


def _is_one(name: str, text: str) -> bool:
    if _REFERENCE.search(text) or _ELSEWHERE.search(text):
        text = ""
    return bool(_KNOWN.search(text) or (len(text) >= _LEAST and _TELLING.search(name)))
