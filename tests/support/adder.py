"""A server of MCP in a few lines, for agents to start in their sandbox: it adds, with a word of its own."""

SOURCE = """
import json, os, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    params = asked.get("params", {})
    tool = {"name": "add", "description": "adds", "inputSchema": {"type": "object"}}
    answers = {
        "initialize": lambda: {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "adder", "version": "1"},
        },
        "tools/list": lambda: {"tools": [tool]},
        "tools/call": lambda: {
            "content": [{"type": "text", "text": os.environ["WORD"] + str(sum(params["arguments"].values()))}]
        },
    }
    result = answers.get(asked["method"], dict)()
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
"""
COMMAND = ("python3", "-I", "-c", SOURCE)
