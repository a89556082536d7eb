"""The scripted model: what stands in the prompt is what it does, in every wire format."""

import json
import stat
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from subprocess import PIPE
from typing import Any

import anyio
import httpx2
import pytest

from hutch.egress.meter import Reader
from support.daemon import ROOT, scripted_model

SHELL = {"name": "Bash", "input_schema": {}}
WRITE = {"name": "Write", "input_schema": {}}
MCP = {"name": "mcp__hutch__get_run", "input_schema": {}}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
async def model(log: Path) -> AsyncGenerator[httpx2.AsyncClient]:
    async with (
        scripted_model(log) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False, timeout=100) as client,
    ):
        yield client


def prompt(*steps: dict[str, Any]) -> str:
    return f"Please. SCRIPT: {json.dumps(steps)} Thank you."


def messages(*contents: object, tools: object = (SHELL, WRITE, MCP), **more: object) -> dict[str, Any]:
    said = [{"role": "user", "content": content} for content in contents]
    return {"model": "m", "messages": said, "tools": tools, **more}


RESULT = [{"type": "tool_result", "tool_use_id": "t", "content": "done"}]


async def ask(model: httpx2.AsyncClient, *contents: object, **more: object) -> Any:  # noqa: ANN401 - JSON
    return (await model.post("/v1/messages", json=messages(*contents, **more))).json()


async def test_steps_follow_one_another_by_the_tool_results(model: httpx2.AsyncClient) -> None:
    asked = prompt({"say": "look", "shell": "ls"}, {"write": "/f", "content": "x"}, {"text": "bye"})
    first, second, third = [await ask(model, asked, *[RESULT] * n) for n in range(3)]
    assert first["content"][0] == {"type": "text", "text": "look"}
    assert first["content"][1]["input"] == {"command": "ls", "description": "A scripted step"}
    assert first["stop_reason"] == "tool_use"
    assert second["content"][0]["name"] == "Write"
    assert second["content"][0]["input"] == {"file_path": "/f", "content": "x"}
    assert third["content"] == [{"type": "text", "text": "bye"}]
    assert third["stop_reason"] == "end_turn"


async def test_the_newest_script_counts_from_its_own_prompt(model: httpx2.AsyncClient) -> None:
    old, new = prompt({"shell": "old"}, {"text": "old"}), prompt({"shell": "new"}, {"text": "new"})
    assert (await ask(model, old, RESULT, new))["content"][0]["input"]["command"] == "new"
    assert (await ask(model, old, RESULT, new, RESULT))["content"][0]["text"] == "new"


async def test_the_same_request_gets_the_same_answer(model: httpx2.AsyncClient) -> None:
    assert await ask(model, prompt({"shell": "ls"})) == await ask(model, prompt({"shell": "ls"}))


async def test_a_tool_may_be_named_without_its_servers_prefix(model: httpx2.AsyncClient) -> None:
    answer = await ask(model, prompt({"tool": "get_run", "args": {"run_id": "r"}}))
    assert answer["content"][0]["name"] == "mcp__hutch__get_run"
    assert answer["content"][0]["input"] == {"run_id": "r"}


async def test_a_stream_says_what_the_whole_answer_says(model: httpx2.AsyncClient) -> None:
    asked = prompt({"say": "look", "shell": "ls", "usage": {"input": 3, "output": 4}})
    whole = await ask(model, asked)
    streamed = await model.post("/v1/messages", json=messages(asked, stream=True))
    events = [
        json.loads(line.removeprefix("data: "))
        for line in streamed.text.splitlines()
        if line.startswith("data: ")
    ]
    assert [event["type"] for event in events] == [
        "message_start",
        *["content_block_start", "content_block_delta", "content_block_stop"] * 2,
        "message_delta",
        "message_stop",
    ]
    assert events[2]["delta"]["text"] == whole["content"][0]["text"]
    assert json.loads(events[5]["delta"]["partial_json"]) == whole["content"][1]["input"]
    assert events[-2]["usage"] == whole["usage"]
    assert (whole["usage"]["input_tokens"], whole["usage"]["output_tokens"]) == (3, 4)


async def test_responses_call_functions_by_namespace_and_freeform(model: httpx2.AsyncClient) -> None:
    async def reply(tools: object, step: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
        said = [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": prompt(step)}]}
        ]
        answer = await model.post("/v1/responses", json={"model": "m", "input": said, "tools": tools})
        return answer.json()["output"][-1]

    group = {"type": "namespace", "name": "mcp__hutch", "tools": [{"name": "get_run"}]}
    called = await reply([group], {"tool": "get_run", "args": {"run_id": "r"}})
    assert (called["type"], called["namespace"], called["name"]) == ("function_call", "mcp__hutch", "get_run")
    held_back = await reply([SHELL], {"tool": "mcp__hutch__get_run"})
    assert (held_back["namespace"], held_back["name"]) == ("mcp__hutch", "get_run")
    shell = await reply([{"type": "function", "name": "exec_command"}], {"shell": "ls"})
    assert json.loads(shell["arguments"]) == {"cmd": "ls"}
    code = await reply([{"type": "custom", "name": "exec"}], {"shell": "ls"})
    assert (code["type"], code["input"]) == (
        "custom_tool_call",
        'text(await tools.exec_command({cmd: "ls"}));',
    )
    said = await reply([SHELL], {"text": "bye"})
    assert said["content"] == [{"type": "output_text", "text": "bye", "annotations": []}]


CHAT = "/v1/chat/completions"
GOOGLE = "/v1beta/models/g:generateContent"
STREAMED = "/v1beta/models/g:streamGenerateContent?alt=sse"


def chat(*said: dict[str, str], tool: str = "bash", **more: object) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": tool}}]
    return {"model": "m", "messages": list(said), "tools": tools, **more}


def contents(*parts: dict[str, Any], tool: str = "run_shell_command") -> dict[str, Any]:
    said = [{"role": "user", "parts": [part]} for part in parts]
    return {"contents": said, "tools": [{"functionDeclarations": [{"name": tool}]}]}


async def test_chat_completions_follow_the_script(model: httpx2.AsyncClient) -> None:
    asked = {"role": "user", "content": prompt({"say": "look", "shell": "ls"}, {"text": "bye"})}
    first = (await model.post(CHAT, json=chat(asked))).json()["choices"][0]
    assert (first["message"]["content"], first["finish_reason"]) == ("look", "tool_calls")
    called = first["message"]["tool_calls"][0]["function"]
    assert (called["name"], json.loads(called["arguments"])["command"]) == ("bash", "ls")
    second = await model.post(CHAT, json=chat(asked, {"role": "tool", "content": "done"}, stream=True))
    *_, last, end = second.text.strip().split("\n\n")
    assert '"content": "bye"' in second.text
    assert (json.loads(last.removeprefix("data: "))["choices"], end) == ([], "data: [DONE]")


async def test_google_follows_the_script(model: httpx2.AsyncClient) -> None:
    asked = {"text": prompt({"say": "look", "write": "/f", "content": "x"}, {"text": "bye"})}
    first = (await model.post(GOOGLE, json=contents(asked, tool="write_file"))).json()
    text, call = first["candidates"][0]["content"]["parts"]
    arguments = {"file_path": "/f", "content": "x"}
    assert (first["modelVersion"], text) == ("g", {"text": "look"})
    assert call["functionCall"] == {"name": "write_file", "args": arguments}
    done = {"functionResponse": {"name": "write_file", "response": {"output": "done"}}}
    assert '"text": "bye"' in (await model.post(STREAMED, json=contents(asked, done))).text
    counted = await model.post("/v1beta/models/g:countTokens", json=contents(asked))
    assert counted.json()["totalTokens"] > 0


async def test_every_api_says_what_the_step_used_whole_and_streamed(model: httpx2.AsyncClient) -> None:
    used = {"input": 7, "output": 5, "cache_read": 3}
    asked = prompt({"text": "x", "usage": used})
    said = {"role": "user", "content": asked}
    for path, body in (
        ("/v1/messages", messages(asked)),
        ("/v1/messages", messages(asked, stream=True)),
        ("/v1/responses", {"model": "m", "input": [said], "tools": [SHELL]}),
        ("/v1/responses", {"model": "m", "input": [said], "tools": [SHELL], "stream": True}),
        (CHAT, chat(said)),
        (CHAT, chat(said, stream=True)),
        (GOOGLE, contents({"text": asked})),
        (STREAMED, contents({"text": asked})),
    ):
        reader = Reader()
        reader.feed((await model.post(path, json=body)).content)
        figures = reader.finish(is_whole=True)
        assert figures is not None, path
        assert (figures.input_tokens, figures.output_tokens, figures.cache_read_tokens) == (7, 5, 3), path


async def test_a_fault_comes_as_often_as_it_says_and_again_in_the_next_conversation(
    model: httpx2.AsyncClient,
) -> None:
    asked = messages(prompt({"error": 529, "times": 2}, {"text": "at last"}))
    statuses = [(await model.post("/v1/messages", json=asked)).status_code for _ in range(6)]
    assert statuses == [529, 529, 200] * 2


async def test_an_error_has_the_envelope_of_its_api(model: httpx2.AsyncClient) -> None:
    step = {"error": 429, "message": "slow down"}
    anthropic = await model.post("/v1/messages", json=messages(prompt(step)))
    openai = await model.post(
        "/v1/responses", json={"input": [{"role": "user", "content": prompt(step)}], "tools": [SHELL]}
    )
    assert anthropic.json()["error"] == {"type": "rate_limit_error", "message": "slow down"}
    assert openai.json()["error"]["message"] == "slow down"
    google = await model.post(GOOGLE, json=contents({"text": prompt(step)}))
    told = {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}
    assert google.json()["error"] == told


async def test_a_script_that_cannot_be_read_ends_the_turn(model: httpx2.AsyncClient) -> None:
    for script in ("SCRIPT: [", "SCRIPT: nothing", 'SCRIPT: [{"txt": "x"}]', "SCRIPT: [1]"):
        answer = await model.post("/v1/messages", json=messages(script))
        assert answer.status_code == 400, script


async def test_a_cut_answer_breaks_off(model: httpx2.AsyncClient) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        await model.post("/v1/messages", json=messages(prompt({"cut": True}), stream=True))


async def test_a_hanging_answer_begins_and_says_nothing(model: httpx2.AsyncClient) -> None:
    asked = messages(prompt({"hang": 60}), stream=True)
    async with model.stream("POST", "/v1/messages", json=asked) as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == ": hanging"


async def test_without_a_script_a_turn_is_friendly_and_remembers(model: httpx2.AsyncClient) -> None:
    reminder = {"type": "text", "text": "<system-reminder>not a prompt</system-reminder>"}
    first = await ask(model, [reminder, {"type": "text", "text": "Tidy the shed"}], RESULT, RESULT)
    assert first["content"][0]["text"] == "Your task stands in NOTES.md. This is turn 1 of our conversation."
    second = await ask(model, "Tidy the shed", RESULT, RESULT, "Paint 'it'")
    assert second["content"][1]["input"]["command"] == "pwd && ls -A"
    last = await ask(model, "Tidy the shed", RESULT, RESULT, "Paint 'it'", RESULT, RESULT)
    assert last["content"][0]["text"].endswith(
        "turn 2 of our conversation. The turn before, you asked: Tidy the shed"
    )


async def test_a_request_without_tools_gets_a_short_text(model: httpx2.AsyncClient) -> None:
    answer = await ask(model, prompt({"shell": "ls"}), tools=[])
    assert answer["content"] == [{"type": "text", "text": "A short text."}]


async def test_the_log_tells_what_was_asked_but_no_secret(model: httpx2.AsyncClient, log: Path) -> None:
    headers = {"x-api-key": "s3cret", "authorization": "Bearer s3cret"}
    await model.post("/v1/messages", json=messages(prompt({"text": "x"})), headers=headers)
    await model.get("/api/surprise")
    first, second = [json.loads(line) for line in log.read_text().splitlines()]
    assert first["tools"] == ["Bash", "Write", "mcp__hutch__get_run"]
    assert (first["step"], first["newest"]) == ({"text": "x"}, prompt({"text": "x"}))
    assert (second["path"], second["step"]) == ("/api/surprise", {"error": 404})
    assert "s3cret" not in log.read_text()


async def test_on_a_unix_socket_only_its_owner_may_ask(tmp_path: Path) -> None:
    path = tmp_path / "model.sock"
    command = [sys.executable, str(ROOT / "scripts/scripted_model.py"), "--unix", str(path)]
    async with await anyio.open_process(command, stdout=PIPE) as process:
        try:
            assert process.stdout is not None
            assert (await process.stdout.receive()).decode() == f"{path}\n"
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            transport = httpx2.AsyncHTTPTransport(uds=str(path))
            async with httpx2.AsyncClient(transport=transport, base_url="http://model") as client:
                assert (await ask(client, prompt({"text": "x"})))["content"][0]["text"] == "x"
        finally:
            process.kill()
