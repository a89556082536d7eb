# sandbox
# agent: claude
# volume: $args[volume] state
# timeout: 1h
"""Give Claude Code a task. Its conversation is in the volume, and the next task goes on with it.

hutch run claude.py --arg volume=my-claude --arg prompt='Write a haiku about sandboxes into haiku.txt.'
"""

import json
import subprocess
from pathlib import Path

WORK = Path("state")  # the volume: what the agent makes, and what it remembers
SESSION = WORK / "session-id"


def main(prompt: str, model: str = "", new: bool = False) -> dict[str, object]:
    """Return what it said last; `new` begins another conversation."""
    command = ["claude", "--print", "--output-format", "json", "--dangerously-skip-permissions"]
    if SESSION.exists() and not new:
        command += ["--resume", SESSION.read_text()]
    if model:
        command += ["--model", model]
    done = subprocess.run(command, cwd=WORK, input=prompt, stdout=subprocess.PIPE, text=True)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        raise SystemExit(f"claude ended with {done.returncode}: {done.stdout[-1000:]}") from None
    SESSION.write_text(answer["session_id"])
    if answer["is_error"]:
        raise SystemExit(f"claude failed: {answer.get('result') or answer['subtype']}")
    return {"text": answer["result"], "session": answer["session_id"], "cost_usd": answer["total_cost_usd"]}
