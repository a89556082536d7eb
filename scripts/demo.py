#!/usr/bin/env python3
"""Shows Hutch at work, and fails where something that it shows is not so. All that it makes is in .demo/.

A daemon of its own; a command in a sandbox, that tries to get out; Claude Code in a sandbox, twice, and the
second time it remembers the first; files that a run deletes, and that are there all the same: over MCP, as
any client would. With ANTHROPIC_API_KEY set, Claude Code
talks to its real model, else to a scripted one.
"""

import os
import sys
from contextlib import ExitStack

import anyio
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

import demo_stage
from demo_chapters import Hutch, a_command, a_daemon, a_volume, an_agent, its_history, the_end, the_sessions
from demo_stage import FOLDER, SECRET, Canaries, Daemon
from demo_story import DemoError, Story
from hutch.errors import unwrapped


async def over_mcp(story: Story, served: Daemon, canaries: Canaries, *, is_scripted: bool) -> None:
    headers = {"Authorization": f"Bearer {served.token}"}
    http = httpx2.AsyncClient(headers=headers, timeout=120)
    async with http, Client(streamable_http_client(f"{served.url}/mcp", http_client=http)) as client:
        hutch = Hutch(client, story)
        await a_daemon(story, served, client)
        await a_command(story, hutch, canaries)
        await a_volume(story, hutch)
        await an_agent(story, hutch, is_scripted=is_scripted)
        await its_history(story, hutch)
        await the_sessions(story, hutch, is_scripted=is_scripted)


def tell(story: Story) -> None:
    is_scripted = not os.environ.get("ANTHROPIC_API_KEY")
    story.title("Hutch: a home for coding agents on a machine you own")
    story.says(f"Everything here happens in {FOLDER}.")
    with ExitStack() as stack:
        stack.enter_context(demo_stage.folder())
        canaries = stack.enter_context(demo_stage.canaries())
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(FOLDER / "home"),
            "ANTHROPIC_API_KEY": os.environ.get("ANTHROPIC_API_KEY") or "any-word-will-do",
            SECRET: canaries.secret,
        }
        model_url = stack.enter_context(demo_stage.scripted_model()) if is_scripted else None
        served = stack.enter_context(demo_stage.daemon(story, env, model_url))
        with unwrapped():
            anyio.run(lambda: over_mcp(story, served, canaries, is_scripted=is_scripted))
        the_end(story, served)


NEXT = """
What next:
  .venv/bin/hutch serve                  the daemon, for good: its state in your home
  .venv/bin/hutch connect claude         how to add it to Claude Code; also codex, opencode, gemini, vscode, …
  .venv/bin/hutch agent claude "…"       an agent, from the command line
  .venv/bin/hutch doctor                 what works on this machine, and how to mend the rest
What the demo left is in .demo/: HUTCH_CONFIG=.demo/config.toml .venv/bin/hutch volume tree demo"""


def main() -> int:
    story = Story()
    try:
        tell(story)
    except DemoError as error:
        story.fails(error)
        return 1
    except KeyboardInterrupt:
        return 130
    story.ends()
    print(NEXT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
