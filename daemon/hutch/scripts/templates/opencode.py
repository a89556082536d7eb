# sandbox
# agent: opencode
# volume: $args[volume] state
# timeout: 1h
"""Give OpenCode a task. Its conversation is in the volume, and the next task goes on with it.

hutch run opencode.py --arg volume=my-opencode --arg prompt='Write a haiku about sandboxes into haiku.txt.'
"""

import json
import os
import subprocess
from pathlib import Path

WORK = Path("state")  # the volume: what the agent makes, and what it remembers
SESSION = WORK / "session-id"


def main(prompt: str, new: bool = False) -> dict[str, object]:
    """Return what it said last; `new` begins another conversation."""
    command = ["opencode", "run", "--format", "json", "--auto", "--model", model()]
    command += ["--session", SESSION.read_text()] if SESSION.exists() and not new else ["--title", "Hutch"]
    env = {**os.environ, "PWD": str(WORK.resolve())}  # which it takes for its folder
    done = subprocess.run(command, cwd=WORK, env=env, input=prompt, stdout=subprocess.PIPE, text=True)
    said = error = ""
    for line in done.stdout.splitlines():
        event = json.loads(line)
        SESSION.write_text(event["sessionID"])
        if event["type"] == "text":
            said = event["part"]["text"]
        elif event["type"] == "error":
            error = event["error"].get("data", {}).get("message") or event["error"]["name"]
    if done.returncode or error:
        raise SystemExit(f"opencode ended with {done.returncode}: {error}")
    return {"text": said, "session": SESSION.read_text()}


def model() -> str:
    """Return the model that the configuration of Hutch has for it."""
    ((provider, told),) = json.loads(os.environ["OPENCODE_CONFIG_CONTENT"])["provider"].items()
    return f"{provider}/{next(iter(told['models']))}"
