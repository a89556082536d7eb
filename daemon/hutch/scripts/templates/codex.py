# sandbox
# agent: codex
# volume: $args[volume] state
# timeout: 1h
"""Give Codex a task. Its conversation is in the volume, and the next task goes on with it.

hutch run codex.py --arg volume=my-codex --arg prompt='Write a haiku about sandboxes into haiku.txt.'
"""

import json
import subprocess
from pathlib import Path

WORK = Path("state")  # the volume: what the agent makes, and what it remembers
SESSION = WORK / "session-id"


def main(prompt: str, model: str = "", new: bool = False) -> dict[str, object]:
    """Return what it said last; `new` begins another conversation."""
    command = ["codex", "exec", "--profile", "hutch"]  # the profile: how this sandbox reaches its model
    if SESSION.exists() and not new:
        command += ["resume", SESSION.read_text()]
    command += ["--json", "--dangerously-bypass-approvals-and-sandbox", "--skip-git-repo-check"]
    if model:
        command += ["--model", model]
    done = subprocess.run([*command, "-"], cwd=WORK, input=prompt, stdout=subprocess.PIPE, text=True)
    said = error = ""
    for line in done.stdout.splitlines():
        event = json.loads(line)
        if event["type"] == "thread.started":
            SESSION.write_text(event["thread_id"])
        elif event["type"] == "item.completed" and event["item"]["type"] == "agent_message":
            said = event["item"]["text"]
        elif event["type"] in ("error", "turn.failed"):
            error = event.get("message") or event["error"]["message"]
    if done.returncode:
        raise SystemExit(f"codex ended with {done.returncode}: {error}")
    return {"text": said, "session": SESSION.read_text()}
