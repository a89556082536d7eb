"""A program for an agent's sandbox that calls Hutch by MCP from there, with the standard library alone.

It takes its file of servers and, on stdin, JSON: calls that are made one after the other, or `at_once`. On
stdout it tells of each what came: `text` of a tool, `error` of the protocol, `status` of a refusal in HTTP.
"""

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
