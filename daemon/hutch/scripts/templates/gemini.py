# sandbox
# agent: gemini
# volume: $args[volume] state
# timeout: 1h
"""Give Gemini CLI a task. Its conversation is in the volume, and the next task goes on with it.

hutch run gemini.py --arg volume=my-gemini --arg prompt='Write a haiku about sandboxes into haiku.txt.'
"""

import json
import subprocess
from pathlib import Path
from uuid import uuid4

WORK = Path("state")  # the volume: what the agent makes, and what it remembers
SESSION = WORK / "session-id"
PROGRAM = ["node", "/opt/agent/gemini/bundle/gemini.js"]


def main(prompt: str, model: str = "pro", new: bool = False) -> dict[str, object]:
    """Return what it said last; `new` begins another conversation."""
    command = [*PROGRAM, "--output-format", "stream-json", "--approval-mode", "yolo", "--model", model]
    if SESSION.exists() and not new:
        command += ["--resume", SESSION.read_text()]
    else:
        SESSION.write_text(str(uuid4()))
        command += ["--session-id", SESSION.read_text()]
    done = subprocess.run(command, cwd=WORK, input=prompt, stdout=subprocess.PIPE, text=True)
    said = error = ""
    for line in done.stdout.splitlines():
        event = json.loads(line)
        if event["type"] == "message" and event["role"] == "assistant":
            said += event["content"]
        elif event["type"] == "tool_result":
            said = ""  # what it says last comes behind its work
        elif event["type"] == "error" or event.get("error"):
            error = event.get("message") or event["error"]["message"]
    if done.returncode:
        raise SystemExit(f"gemini ended with {done.returncode}: {error}")
    return {"text": said, "session": SESSION.read_text()}
