"""A process that forks others for a test, which have imported all that it has: what both sides say."""

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import Any


def ask(server: "subprocess.Popen[str]", question: object) -> int:
    """Ask for a process, and get its number; or with {"reap": NUMBER} how an ended one ended."""
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(question) + "\n")
    server.stdin.flush()
    answer = server.stdout.readline()
    assert answer, "the process that others are forked from has ended"
    return int(answer)


def serve(child: Callable[[Any], None]) -> None:
    """Fork and reap until nobody asks any more. `child` is called with the question, in the new process."""
    for line in sys.stdin:
        question = json.loads(line)
        if "reap" in question:
            _, status = os.waitpid(question["reap"], 0)
            answer = os.waitstatus_to_exitcode(status)
        else:
            answer = os.fork()
            if answer == 0:
                _run(child, question)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def _run(child: Callable[[Any], None], question: object) -> None:
    code = 1
    try:
        child(question)
        code = 0
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException:  # noqa: BLE001 - a child never returns into its parent's loop
        traceback.print_exc()
    os._exit(code)
