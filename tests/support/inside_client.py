"""A program for an agent's sandbox that calls Hutch by MCP from there, with the standard library alone.

It takes its file of servers and, on stdin, JSON: calls that are made one after the other, or `at_once`. On
stdout it tells of each what came: `text` of a tool, `error` of the protocol, `status` of a refusal in HTTP.
"""

import json
import re

from hutch.client import Client
from hutch_mcp_tools.run_records import RunRecord
from hutch_mcp_tools.session_records import SessionRecord
from support.daemon import output, turn

PROGRAM = r"""
import json, sys, threading, urllib.error, urllib.request

url = json.load(open(sys.argv[1]))["mcpServers"]["hutch"]["url"]
HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


def post(at, body, headers):
    asked = urllib.request.Request(at, json.dumps(body).encode(), {**HEADERS, **headers})
    try:
        with urllib.request.urlopen(asked, timeout=120) as answer:
            return answer.status, answer.headers.get("Mcp-Session-Id"), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, None, error.read().decode()
    except OSError as error:
        return 0, None, str(error)


def call(step):
    if "url" in step:
        status, _, said = post(step["url"], step.get("body", {}), step.get("headers", {}))
        return {"status": status, "said": said}
    headers = step.get("headers", {})
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    status, session, said = post(
        url, {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}, headers
    )
    if status != 200:
        return {"status": status, "said": said}
    headers = {**headers, "MCP-Protocol-Version": "2025-06-18"}
    if session:
        headers["Mcp-Session-Id"] = session
    post(url, {"jsonrpc": "2.0", "method": "notifications/initialized"}, headers)
    params = {"name": step["tool"], "arguments": step.get("args", {})}
    if step["tool"] == "LIST":
        status, _, said = post(url, {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}, headers)
    else:
        body = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
        status, _, said = post(url, body, headers)
    lines = [line[6:] for line in said.splitlines() if line.startswith("data: ")] or [said]
    answer = next((each for line in lines if line and "id" in (each := json.loads(line))), {})
    if "error" in answer:
        return {"error": answer["error"]}
    result = answer["result"]
    if "tools" in result:
        return {"tools": [tool["name"] for tool in result["tools"]]}
    text = "".join(part.get("text", "") for part in result["content"])
    return {"text": text, "is_error": result.get("isError", False)}


asked = json.load(sys.stdin)
told = [call(step) for step in asked.get("calls", [])]
together = [None] * len(asked.get("at_once", []))


def one(n):
    together[n] = call(asked["at_once"][n])


threads = [threading.Thread(target=one, args=(n,)) for n in range(len(together))]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(json.dumps(told + together), flush=True)
"""
CALLER = f"""
[agents.caller]
adapter = "command"
command = ["python3", "-c", {json.dumps(PROGRAM)}, "{{mcp_file}}"]
network = ""
hutch = true
hutch_runs = 3
"""
# What asks a model at a port of this host, in the sandbox of a run
SPEND = r"""
exec 3<>/dev/tcp/127.0.0.1/%s
body='{"model":"claude-opus-5-5","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'
printf 'POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: close\r\n' >&3
printf 'Content-Length: %%s\r\n\r\n%%s' "${#body}" "$body" >&3
head -1 <&3
"""
Told = list[dict[str, str]]


async def told(client: Client, session: SessionRecord) -> Told:
    """What the program inside was answered."""
    assert session.run_id is not None
    record = await client.get_run(session.run_id)
    stdout, stderr = await output(client, record)
    assert (session.status, session.error) == ("idle", None), stdout + stderr
    answers: Told = json.loads(stdout)
    return answers


async def ask(client: Client, *calls: object, volume: str = "work", **values: object) -> Told:
    """Have an agent make these calls."""
    prompt = json.dumps({"calls": calls})
    return await told(client, await turn(client, prompt, volume, agent="caller", model=None, **values))


def sandboxed(command: str | list[str], **args: object) -> dict[str, object]:
    return {"tool": "run_in_sandbox", "args": {"command": command, **args}}


def spending(url: str) -> dict[str, object]:
    """A call that has a run ask the model at `url` once."""
    port = url.rpartition(":")[2]
    return sandboxed(["bash", "-c", SPEND % (port, port)], network="model")


def run_id(answer: dict[str, str]) -> str:
    found = re.search(r"r-[a-z0-9]{10}", answer["text"])
    assert found is not None, answer
    return found[0]


async def children(client: Client) -> list[RunRecord]:
    return [record for record in await client.list_runs(200) if begun_by(record)]


def begun_by(record: RunRecord) -> object:
    requested = record.policy.get("requested")
    return requested.get("begun_by") if isinstance(requested, dict) else None
