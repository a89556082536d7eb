#!/usr/bin/env python3
"""A model that does what the prompt says: coding agents run against it for real, offline, always the same.

    python scripts/scripted_model.py [--port N | --unix PATH] [--log FILE]

The first line on stdout says where it listens; from then on it answers. It speaks

    POST /v1/messages, /v1/messages/count_tokens     Anthropic Messages   (Claude Code, OpenCode)
    POST /v1/responses                               OpenAI Responses     (Codex, OpenCode)
    POST /v1/chat/completions                        OpenAI Chat          (OpenCode)
    POST /v1beta/models/M:generateContent            Google               (Gemini CLI, OpenCode)

THE SCRIPT is a JSON list behind the word `SCRIPT:`, anywhere in the prompt. The server keeps no conversation:
the number of tool results since that prompt says which step is next, so a session may resume with any server.

    Mend the build. SCRIPT: [{"shell": "make"}, {"text": "It builds again."}]

    {"text": "…"}                        the answer that ends the turn
    {"shell": "make test"}               a call of the agent's own shell tool
    {"write": "a.txt", "content": "…"}   a call of its own tool for writing files
    {"tool": "NAME", "args": {…}}        a call of any tool; NAME may leave out an MCP server's prefix
    {"error": 529, "message": "…"}       an HTTP error in the envelope of that API
    {"hang": 30}                         the head of an answer, then nothing for so many seconds
    {"cut": true}                        an answer that breaks off in the middle
  With any step: "delay" (seconds before the first byte). With a fault: "times" (so often, then the next one),
  "in_all" (true: not anew when the conversation has gone on, as after another prompt).
  With a call: "say" (text in front of it). With an answer: "usage" ({"input", "output", "cache_read",
  "cache_write"}).

A prompt without a script gets a friendly turn, which shows a shell at work and what is remembered of earlier
ones. A request that offers no tools (an agent's side call, for a title) gets a short text.

THE LOG has a JSON line a request: path, model, headers (credentials masked), tools on offer, the newest thing
that was said to the model, and the step that answered.

AGENTS find it so, U being its address (with --unix, Claude Code: ANTHROPIC_UNIX_SOCKET=PATH and any http U):
    Claude Code  ANTHROPIC_BASE_URL=U ANTHROPIC_API_KEY=any CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1
    Codex        -c model_provider=s -c 'model_providers.s={name="s", base_url="U/v1", env_key="KEY",
                 wire_api="responses"}' -c analytics.enabled=false -c features.plugins=false, with KEY=any
    OpenCode     OPENCODE_CONFIG_CONTENT='{"provider": {"anthropic": {"options": {"baseURL": "U/v1",
                 "apiKey": "any"}}}}', or a provider of its own with "npm": "@ai-sdk/openai-compatible"
    Gemini CLI   GOOGLE_GEMINI_BASE_URL=U GEMINI_API_KEY=any GEMINI_CLI_TRUST_WORKSPACE=true
"""

import argparse
import hashlib
import json
import os
import re
import socket
import sys
from collections import Counter
from pathlib import Path

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from scripted_model_chat import CHAT, GOOGLE
from scripted_model_script import ScriptError, call_of, heard, next_step, offered
from scripted_model_wire import MESSAGES, RESPONSES, Format, Json, Reply

USAGE = {"input": 1000, "output": 50, "cache_read": 0, "cache_write": 0}
SECRET_HEADERS = {"authorization", "x-api-key", "x-goog-api-key", "cookie"}


class Stream(Response):
    """Server-sent events; a fault of the step breaks them off."""

    def __init__(self, events: list[Json], end: str, step: Json) -> None:
        super().__init__(media_type="text/event-stream")
        self.events = events
        self.end = end
        self.step = step

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if "hang" in self.step:
            await send({"type": "http.response.body", "body": b": hanging\n\n", "more_body": True})
            with anyio.move_on_after(self.step["hang"]):
                while (await receive())["type"] != "http.disconnect":
                    pass
            return
        for event in self.events[: len(self.events) // 2 if "cut" in self.step else None]:
            name = f"event: {event['type']}\n" if "type" in event else ""
            data = f"{name}data: {json.dumps(event)}\n\n"
            await send({"type": "http.response.body", "body": data.encode(), "more_body": True})
        if "cut" not in self.step:  # else uvicorn sees an unfinished answer and drops the connection
            await send({"type": "http.response.body", "body": self.end.encode()})


# The server ----------------------------------------------------------


class Model:
    """Remembers nothing but how often it gave each fault."""

    def __init__(self, log: Path | None) -> None:
        self.log = log
        self.given: Counter[str] = Counter()

    async def messages(self, request: Request) -> Response:
        return await self.answer(request, MESSAGES)

    async def responses(self, request: Request) -> Response:
        return await self.answer(request, RESPONSES)

    async def chat(self, request: Request) -> Response:
        return await self.answer(request, CHAT)

    async def google(self, request: Request) -> Response:
        model, _, verb = request.path_params["call"].partition(":")
        if verb == "countTokens":
            return JSONResponse({"totalTokens": len(await request.body()) // 4})
        return await self.answer(request, GOOGLE, model=model, stream=verb.startswith("stream"))

    async def answer(self, request: Request, form: Format, **by_path: object) -> Response:
        raw = await request.body()
        body = json.loads(raw) | by_path
        try:
            step = next_step(body, self.given)
        except ScriptError as error:
            step = {"error": 400, "message": str(error)}
        self.record(request, body, step)
        await anyio.sleep(step.get("delay", 0))
        if "error" in step:
            return JSONResponse(form.error(step["error"], step.get("message", "as scripted")), step["error"])
        call = call_of(step, offered(body))
        text = step.get("say" if call else "text", "")
        name = hashlib.sha256(raw).hexdigest()[:24]  # the same request, the same answer
        reply = Reply(name, body.get("model", ""), text, call, USAGE | step.get("usage", {}))
        events = form.events(reply)
        if body.get("stream") or step.keys() & {"hang", "cut"}:
            return Stream(events, form.end, step)
        return JSONResponse(form.whole(events))

    async def count_tokens(self, request: Request) -> Response:
        return JSONResponse({"input_tokens": len(await request.body()) // 4})

    async def unknown(self, request: Request) -> Response:
        """Anything else: refused, but in the log, since a surprising request is a finding."""
        self.record(request, {}, {"error": 404})
        return JSONResponse(MESSAGES.error(404, f"no such endpoint: {request.url.path}"), 404)

    def record(self, request: Request, body: Json, step: Json) -> None:
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(json.dumps(log_entry(request, body, step)) + "\n")

    def app(self) -> Starlette:
        anything = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
        return Starlette(
            routes=[
                Route("/v1/messages", self.messages, methods=["POST"]),
                Route("/v1/messages/count_tokens", self.count_tokens, methods=["POST"]),
                Route("/v1/responses", self.responses, methods=["POST"]),
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
                Route("/v1beta/models/{call}", self.google, methods=["POST"]),
                Route("/{path:path}", self.unknown, methods=anything),
            ]
        )


def log_entry(request: Request, body: Json, step: Json) -> Json:
    said = heard(body)
    return {
        "method": request.method,
        "path": request.url.path,
        "headers": {k: "***" if k in SECRET_HEADERS else v for k, v in request.headers.items()},
        "model": body.get("model"),
        "tools": sorted(tool.full_name for tool in offered(body)),
        "newest": said[-1].text if said else None,
        "marks": sorted(set(re.findall(r"\bMARK-\w+", json.dumps(body)))),
        "step": step,
    }


def listener(port: int, path: Path | None) -> tuple[socket.socket, str]:
    if path is None:
        tcp = socket.create_server(("127.0.0.1", port))
        return tcp, f"http://127.0.0.1:{tcp.getsockname()[1]}"
    path.unlink(missing_ok=True)
    unix = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)  # only its owner may ask
    unix.bind(str(path))
    os.umask(mask)
    unix.listen(64)
    return unix, str(path)


def main() -> None:
    options = argparse.ArgumentParser(description="a model that does what the prompt says")
    options.add_argument("--port", type=int, default=0, help="on loopback; 0: any that is free")
    options.add_argument("--unix", type=Path, help="a unix socket instead")
    options.add_argument("--log", type=Path, help="write a JSON line for every request")
    given = options.parse_args()
    sock, address = listener(given.port, given.unix)
    sys.stdout.write(f"{address}\n")  # in one piece, for a reader who waits for it
    sys.stdout.flush()
    config = uvicorn.Config(Model(given.log).app(), log_level="critical", timeout_graceful_shutdown=1)
    anyio.run(uvicorn.Server(config).serve, [sock])


if __name__ == "__main__":
    main()
