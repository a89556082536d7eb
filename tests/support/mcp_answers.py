"""Calls a tool and takes its answer apart, as a client's program would."""

import re
from dataclasses import dataclass

from mcp import Client
from mcp.types import CallToolResult, TextContent

_HEADER = re.compile(r"--- (stdout|stderr) \(.*\) ---")
_CLOSING = re.compile(r"(changed|note|full log|still running): ")


@dataclass(frozen=True)
class RunAnswer:
    """An answer of run_in_sandbox or get_run by its parts."""

    facts: dict[str, str]  # of the first line
    headers: dict[str, str]  # stream -> its section's header
    sections: dict[str, list[str]]  # stream -> its lines, notices among them
    closing: list[str]


async def call(client: Client, tool: str, **arguments: object) -> CallToolResult:
    return await client.call_tool(tool, arguments)


async def text_of(client: Client, tool: str, **arguments: object) -> str:
    result = await call(client, tool, **arguments)
    first = result.content[0]
    assert isinstance(first, TextContent)
    assert not result.is_error, first.text
    return first.text


async def error_of(client: Client, tool: str, **arguments: object) -> str:
    result = await call(client, tool, **arguments)
    first = result.content[0]
    assert isinstance(first, TextContent)
    assert result.is_error, first.text
    return first.text


async def run_answer(client: Client, tool: str = "run_in_sandbox", **arguments: object) -> RunAnswer:
    return take_apart(await text_of(client, tool, **arguments))


def take_apart(text: str) -> RunAnswer:
    first, *lines = text.removesuffix("\n").split("\n")
    facts = dict(re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)', first))
    headers: dict[str, str] = {}
    sections: dict[str, list[str]] = {}
    closing: list[str] = []
    stream = ""
    for line in lines:
        if match := _HEADER.fullmatch(line):
            stream = match[1]
            assert stream not in headers, "two sections claim to be the same stream"
            headers[stream], sections[stream] = line, []
        elif _CLOSING.match(line):
            closing.append(line)
        elif stream:
            assert not closing, "output behind the answer's own last lines"
            sections[stream].append(line)
        else:
            assert line == "(no output)"
    return RunAnswer(facts, headers, sections, closing)
