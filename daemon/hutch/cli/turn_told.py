"""What `hutch agent` tells of a turn: that it is at work, how it ended, and how to go on."""

import json

from hutch.cli.changes import tell_workspace
from hutch.cli.output import cost, duration, note, print_json, tokens
from hutch.cli.refusal import report
from hutch.exit_codes import FAILED, exit_code
from hutch_mcp_tools.agent_records import TurnBounds
from hutch_mcp_tools.run_records import RunRecord
from hutch_mcp_tools.session_records import SessionRecord


def tell_begun(session: SessionRecord, *, as_json: bool) -> None:
    """Say that it is at work, or waits."""
    if as_json:
        print_json(session)
    else:
        print(session.session_id)
        place = session.queue_place
        what = f"it is in the queue, at place {place}" if place else "it is at work"
        note(f"{what}; follow it: hutch logs -f {session.session_id}")


def tell_ended(session: SessionRecord, run: RunRecord, bounds: TurnBounds, *, is_told: bool = True) -> None:
    """Say how it ended, within the bounds that it was given; `is_told`: its result too."""
    if session.result is not None and is_told:
        print(json.dumps(session.result, indent=2))
    if session.status == "failed":
        report(session.error or f"the turn ended: {run.status}", f"hutch show {run.run_id}")
    parts = [_ended(session, run), tokens(run.usage), cost(run.usage)]
    parts += [f"volume {volume} at snapshot {number}" for volume, number in run.snapshots.items()]
    note("· " + ", ".join(part for part in parts if part))
    tell_workspace(run)
    note(f"· go on: hutch agent {session.agent} --session {session.session_id}{_again(run, bounds)} '…'")


def _again(run: RunRecord, bounds: TurnBounds) -> str:
    """The budget that it was given and has spent, for the next turn, which has none of its own accord."""
    if run.status != "budget":
        return ""
    given = {name: value for name, value in bounds if name.startswith("budget_") and value is not None}
    return "".join(f" --{name.replace('_', '-')} {value}" for name, value in given.items())


def _ended(session: SessionRecord, run: RunRecord) -> str:
    word = run.status.replace("_", " ")
    if run.status == "exited":
        word = "failed" if session.status == "failed" else "done"
    elif run.status == "budget":
        word = "budget spent"
    return f"{word} after {duration(run.duration_s)}" if run.duration_s is not None else word


def code_of(session: SessionRecord, run: RunRecord) -> int:
    """Return what a shell is told."""
    if run.status == "exited":
        return FAILED if session.status == "failed" else 0
    return exit_code(run)
