# sandbox
# agent: claude
# volume: $args[volume] state
# timeout: 1h
"""An agent of your own: a loop, a model, one tool. What was said is in the volume; the next task goes on.

It asks Anthropic's API as the agent `claude` of the configuration does, with its key and network.

hutch run custom.py --arg volume=my-agent --arg prompt='How many files are here?'
"""

import json
import os
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

WORK = Path("state")  # the volume: what the agent makes, and what it remembers
SAID = WORK / ".conversation.json"
URL = os.environ.get("ANTHROPIC_BASE_URL", "https://api.anthropic.com") + "/v1/messages"
BASH = {
    "name": "Bash",
    "description": "Run a command in the working folder.",
    "input_schema": {
        "type": "object",
        "properties": {"command": {"type": "string"}},
        "required": ["command"],
    },
}


def main(prompt: str, model: str = "claude-opus-5-5", steps: int = 50) -> dict[str, object]:
    """Return what it said last; a task takes at most so many steps."""
    said = json.loads(SAID.read_text()) if SAID.exists() else []
    said.append({"role": "user", "content": prompt})
    for _ in range(steps):
        answer = ask(model, said)
        said.append({"role": "assistant", "content": answer["content"]})
        calls = [part for part in answer["content"] if part["type"] == "tool_use"]
        if not calls:
            SAID.write_text(json.dumps(said))
            return {"text": "".join(part.get("text", "") for part in answer["content"]), "said": len(said)}
        said.append({"role": "user", "content": [run(call) for call in calls]})
    raise SystemExit(f"it was not done after {steps} steps")


def ask(model: str, said: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the model's answer to all that was said."""
    body = {"model": model, "max_tokens": 4096, "messages": said, "tools": [BASH]}
    headers = {
        "content-type": "application/json",
        "anthropic-version": "2023-06-01",
        "x-api-key": os.environ.get("ANTHROPIC_API_KEY", "none"),
    }
    request = urllib.request.Request(URL, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=600) as answer:
            told: dict[str, Any] = json.load(answer)
            return told
    except urllib.error.HTTPError as error:
        raise SystemExit(f"the model refused: {error.code} {error.read(1000).decode()}") from None


def run(call: dict[str, Any]) -> dict[str, str]:
    """Run the command that the model asks for, and return what came out."""
    print("$", call["input"]["command"])
    done = subprocess.run(
        ["bash", "-c", call["input"]["command"]], cwd=WORK, stdin=subprocess.DEVNULL, capture_output=True
    )
    text = (done.stdout + done.stderr).decode(errors="replace")[-20_000:]
    return {
        "type": "tool_result",
        "tool_use_id": call["id"],
        "content": f"{text}\n(exit code {done.returncode})",
    }
