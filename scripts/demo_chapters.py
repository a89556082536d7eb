"""The chapters of the demo: each does something over MCP, and claims what can be seen of it."""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import httpx2
from mcp import Client
from mcp.types import CallToolResult, TextContent

import demo_inside
import demo_stage
from demo_stage import FOLDER, Canaries, Daemon
from demo_story import DemoError, Story

VOLUME = "demo"
FIRST = "Look at greeting.txt in this folder, and write one line about it into NOTES.md."
SECOND = "Which file did I ask you about before? Add a line about it to NOTES.md, without opening it again."


class Hutch:
    """The tools, as an MCP client calls them."""

    def __init__(self, client: Client, story: Story) -> None:
        self._client = client
        self._story = story

    async def call(self, tool: str, waiting_for: str = "", **arguments: Any) -> CallToolResult:
        with self._story.waiting(waiting_for or f"{tool} answers"):
            result = await self._client.call_tool(tool, arguments)
        assert isinstance(result, CallToolResult)
        if result.is_error:
            raise DemoError(f"{tool} failed", text_of(result))
        return result

    async def text(self, tool: str, **arguments: Any) -> str:
        return text_of(await self.call(tool, **arguments))

    async def turn(self, tool: str, **arguments: Any) -> Mapping[str, Any]:
        """An agent's turn, to its end."""
        said = await self.call(tool, "Claude Code is at work", wait_s=45, **arguments)
        session = said.structured_content or {}
        while session.get("status") == "running":
            wait = {"session_id": session["session_id"], "wait_s": 45}
            session = (
                await self.call("get_session", "Claude Code is at work", **wait)
            ).structured_content or {}
        return session


def text_of(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


def content_of(answer: str) -> str:
    """What read_volume shows behind its first line and its ---."""
    return answer.partition("---\n")[2]


# The chapters ------------------------------------------------------


async def a_daemon(story: Story, served: Daemon, client: Client) -> None:
    story.chapter("A daemon, and an MCP client")
    token = FOLDER / "state" / "token"
    mode = token.stat().st_mode & 0o777
    story.claim(
        f"it serves MCP at {served.url}/mcp", holds=True, evidence=f"its log: {FOLDER / 'daemon.log'}"
    )
    async with httpx2.AsyncClient() as anybody:
        refused = (await anybody.post(f"{served.url}/mcp", json={})).status_code
    story.claim(
        "only who has its token comes in",
        holds=refused == 401 and mode == 0o600,
        evidence=f"without: HTTP {refused}; the token is in {token}, mode {mode:04o}",
    )
    tools = [tool.name for tool in (await client.list_tools()).tools]
    story.claim(f"{len(tools)} tools", holds="run_in_sandbox" in tools, evidence=", ".join(tools))


async def a_command(story: Story, hutch: Hutch, canaries: Canaries) -> None:
    story.chapter("A command in a sandbox tries to get out")
    answer = await hutch.text(
        "run_in_sandbox",
        command=["bash", "-c", demo_inside.TRY_EVERYTHING],
        volumes=[f"{VOLUME}:/workspace"],
        env=demo_inside.environment(canaries),
    )
    first = answer.splitlines()[0]
    if "exit_code=0 " not in f"{first} ":
        raise DemoError("the command could not be run to its end", answer)
    found = demo_inside.findings(answer)
    if untold := demo_inside.TOLD - found.keys():
        raise DemoError(f"the command did not tell of {', '.join(sorted(untold))}", answer)
    real = sorted(path.name for path in canaries.home.iterdir())
    shared = sorted(set(real) & set(found["home"].split()))
    story.claim(
        "this machine's homes are not there",
        holds="nobody's business" not in found["diary"] and not shared and not canaries.planted.exists(),
        evidence=f"{found['diary']}\n{canaries.home} has {len(real)} of its own here, and none inside",
    )
    with socket.create_connection(("127.0.0.1", canaries.port)):
        pass  # it is there, and answers
    story.claim(
        "its network is not reached",
        holds=not {"reached"} & {*found["port"].split(), *found["internet"].split()}
        and found["interfaces"] == "lo",
        evidence=f"port {canaries.port} answers here, and inside: {last_words(found['port'])}\n"
        f"1.1.1.1 from inside: {last_words(found['internet'])}; the only interface is {found['interfaces']}",
    )
    alive = canaries.process.poll() is None
    processes = len(list(Path("/proc").glob("[0-9]*")))
    story.claim(
        "its processes are not seen, nor what the daemon has in its environment",
        holds=alive and found["canary"] == "none" and "leaked" not in found,
        evidence=f"of {processes} processes it sees its own {found['processes']}",
    )
    killer = await hutch.text("run_in_sandbox", command=["bash", "-c", "kill -9 -1; echo still here"])
    alive = canaries.process.poll() is None
    story.claim(
        "it may kill all that it sees, and this machine does not notice",
        holds=alive,
        evidence=f"kill -9 -1: {killer.splitlines()[0].partition(' duration')[0]}; the canary process lives",
    )


def last_words(error: str) -> str:
    return error.rpartition(": ")[2].strip() or "nothing"


async def a_volume(story: Story, hutch: Hutch) -> None:
    story.chapter("What it wrote outlives it, in a volume")
    there = content_of(await hutch.text("read_volume", volume=VOLUME, path="/greeting.txt")).strip()
    story.claim(
        "read_volume finds the file", holds=there == "Hello from inside a sandbox.", evidence=f"“{there}”"
    )
    again = await hutch.text(
        "run_in_sandbox", command="cat greeting.txt; hostname", volumes=[f"{VOLUME}:/workspace:ro"]
    )
    story.claim("and so does the next sandbox", holds=there in again, evidence=again.splitlines()[0])
    first = await hutch.text(
        "run_in_sandbox",
        command="echo I was here before > /tmp/note",
        session_id="new",
        volumes=[f"{VOLUME}:/workspace:ro"],
    )
    session_id = first.splitlines()[0].partition(" session=")[2].split()[0]
    second = await hutch.text("run_in_sandbox", command="cat /tmp/note", session_id=session_id)
    story.claim(
        "a sandbox can be kept, too", holds="I was here before" in second, evidence=second.splitlines()[0]
    )


async def an_agent(story: Story, hutch: Hutch, *, is_scripted: bool) -> None:
    story.chapter(
        f"Claude Code in that volume, twice ({'a scripted model' if is_scripted else 'its real model'})"
    )
    story.says(f"> {FIRST}")
    one = await hutch.turn("start_agent", agent="claude", prompt=FIRST, volume=VOLUME, name="demo")
    tell_turn(story, "it did its task", one)
    notes = content_of(await hutch.text("read_volume", volume=VOLUME, path="/NOTES.md"))
    story.claim("its work is in the volume", holds=bool(notes.strip()), evidence=f"NOTES.md: {notes.strip()}")

    story.says(f"> {SECOND}")
    two = await hutch.turn("send_to_agent", session_id=one["session_id"], message=SECOND)
    tell_turn(story, "a new sandbox, and it remembers", two)
    agent_session = two["agent_session_id"]
    transcript = f".hutch/claude/projects/-workspace/{agent_session}.jsonl"
    both = 'grep -qF "$1" "$3" && grep -qF "$2" "$3" && echo both tasks'
    said = await hutch.text(
        "run_in_sandbox",
        command=["bash", "-c", both, "find", FIRST, SECOND, transcript],
        volumes=[f"{VOLUME}:/workspace:ro"],
    )
    remembers = agent_session == one["agent_session_id"] and "greeting.txt" in two["last_message"]
    story.claim(
        "it is one conversation, kept in the volume",
        holds=remembers and "both tasks" in said,
        evidence=f"Claude Code's own session {agent_session}; both tasks are in {transcript}",
    )


def tell_turn(story: Story, claim: str, session: Mapping[str, Any]) -> None:
    error = session.get("error") or ""
    answer = " ".join((session.get("last_message") or "").split())
    story.claim(
        claim, holds=session.get("status") == "idle" and not error, evidence=error or f"< {answer[:300]}"
    )


async def its_history(story: Story, hutch: Hutch) -> None:
    story.chapter("Stored as it is written, and never lost")
    run_id = run_of(
        await hutch.text(
            "run_in_sandbox",
            command="echo half a thought > draft.txt; sleep 600",
            volumes=[f"{VOLUME}:/workspace"],
            wait_s=0,
        )
    )
    with story.waiting("the store has what it wrote"):
        for _ in range(200):
            if "draft.txt" in await hutch.text("read_volume", volume=VOLUME):
                break
            await anyio.sleep(0.05)
    draft = content_of(await hutch.text("read_volume", volume=VOLUME, path="/draft.txt")).strip()
    now = (await hutch.text("get_run", run_id=run_id, wait_s=0)).splitlines()[0]
    await hutch.call("stop_run", run_id=run_id)
    story.claim(
        "what a run writes is in the store while it still runs",
        holds=draft == "half a thought" and "status=running" in now,
        evidence=f"“{draft}”; the run then: {now}",
    )
    before = await newest(hutch)
    await hutch.call(
        "run_in_sandbox", command="rm -rf greeting.txt NOTES.md", volumes=[f"{VOLUME}:/workspace"]
    )
    gone = content_of(await hutch.text("read_volume", volume=VOLUME, since=str(before))).splitlines()[:2]
    story.claim(
        "a run that deletes your files is seen",
        holds=[line.split()[:2] for line in gone] == [["D", "/NOTES.md"], ["D", "/greeting.txt"]],
        evidence=f"since snapshot {before}: {', '.join(gone)}",
    )
    undone = await hutch.text(
        "run_in_sandbox", command="cat greeting.txt", volumes=[f"{VOLUME}-again={VOLUME}@{before}:/workspace"]
    )
    story.claim(
        "and work goes on from the moment before, in a fork",
        holds="Hello from inside a sandbox." in undone,
        evidence=f"volume {VOLUME}-again begins as {VOLUME} was at snapshot {before}; nothing was copied",
    )


async def newest(hutch: Hutch) -> int:
    """The number of the volume's newest snapshot."""
    told = (await hutch.call("list_volumes", volume=VOLUME)).structured_content or {}
    return int(told["volumes"][0]["snapshot"])


def run_of(answer: str) -> str:
    """The id of the run that an answer is about."""
    return answer.splitlines()[0].partition(" run=")[2].split()[0]


async def the_sessions(story: Story, hutch: Hutch, *, is_scripted: bool) -> None:
    story.chapter("Sessions, their tokens and cost")
    page = (await hutch.call("list_sessions")).structured_content or {}
    agents = [session for session in page["sessions"] if session["kind"] == "agent"]
    if len(agents) != 1:
        raise DemoError("there should be one session of an agent", str(page))
    for session in agents:
        usage = session["usage"]
        read = usage["input_tokens"] + usage["cache_read_tokens"] + usage["cache_write_tokens"]
        cost = usage["cost_usd"]
        story.claim(
            f"{session['name'] or session['session_id']}: {session['agent']}, {session['turns']} turns, "
            f"{read} tokens in, {usage['output_tokens']} out, "
            + ("of unknown cost" if cost is None else f"${cost:.4f}"),
            holds=session["turns"] == 2 and read > 0,
            evidence=f"session {session['session_id']}, Claude Code's own {session['agent_session_id']}"
            + ("\nthe scripted model's tokens, at the list price of the real one" if is_scripted else ""),
        )
    await hutch.call("stop_session", session_id="demo")


def the_end(story: Story, served: Daemon) -> None:
    story.chapter("Everything stops")
    running = demo_stage.in_sandboxes()
    with story.waiting("the daemon ends"):
        code = demo_stage.stop(served)
    left = demo_stage.in_sandboxes()
    story.claim(
        "the daemon ended, and so did the sandbox that was kept",
        holds=code == 0 and bool(running) and not left,
        evidence=f"exit code {code}; processes in its sandboxes: {len(running)} before, {len(left)} after",
    )
