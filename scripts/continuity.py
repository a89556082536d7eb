"""Writes docs/continuity.md: which agent goes on after what, as tests/continuity has shown it.

scripts/continuity.py                   run the tests and write the page
scripts/continuity.py --results FILE    write it from runs with HUTCH_LONG=1 HUTCH_CONTINUITY_RESULTS=FILE
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.continuity import AGENTS, CUTS, METHODS, NOT_SO, STORES  # noqa: E402 - the line above finds it

PAGE = ROOT / "docs/continuity.md"
Shown = Mapping[tuple[str, str, str], str]  # agent, store or method, cut -> outcome
_WIDE = AGENTS[:2]  # that are tried under every method
_HEAD = """# Continuity: what a conversation outlives

Written by `scripts/continuity.py` from the tests in `tests/continuity`, not by hand. They run the real agents
against a scripted model: an agent has a turn, is cut off in a later one, in the middle of a tool call, and is
given another prompt. It *goes on* where the model is told all that was said before the cut and nothing else,
under the same id of the agent's own, and the volume holds all that was written, once and in order.

Each is tried with volumes in a folder, the daemon being root's, and with volumes in an S3 bucket (Ceph's
gateway), the daemon being an ordinary user's; the method is bubblewrap.
"""
_OTHERS = """
## Under other methods

{agents}, with volumes in a folder, the daemon being root's, and everything running under that method but
for the turn under *another method*. These take `HUTCH_LONG=1`; continuous integration leaves them out.
"""
_WORST = ("broken", "skipped", "goes on")
_MARKS = {"goes on": "goes on", "broken": "**broken**", "skipped": "not tried"}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path)
    path: Path | None = parser.parse_args().results
    shown = read_results(path.read_text(encoding="utf-8").splitlines() if path else run_tests())
    PAGE.write_text(page(shown), encoding="utf-8")
    bad = sorted(
        " ".join(key) for key, outcome in shown.items() if outcome != "goes on" and key[1:] not in NOT_SO
    )
    if bad:
        sys.stderr.write(f"error: these do not go on, or were not tried: {', '.join(bad)}\n")
    return bool(bad)


def run_tests() -> Sequence[str]:
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as file:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-n",
            "auto",
            "--dist",
            "loadgroup",
            "tests/continuity",
        ]
        env = {**os.environ, "HUTCH_LONG": "1", "HUTCH_CONTINUITY_RESULTS": file.name}
        subprocess.run(command, cwd=ROOT, env=env, check=False, stdout=sys.stderr)
        return file.readlines()


def read_results(lines: Sequence[str]) -> Shown:
    """The worst that was seen of each, however often it was tried."""
    seen: dict[tuple[str, str, str], str] = {}
    for line in lines:
        one = json.loads(line)
        key = one["agent"], one["store"], one["cut"]
        seen[key] = min(seen.get(key, "goes on"), one["outcome"], key=_WORST.index)
    return seen


def page(shown: Shown) -> str:
    by_agent = _table(
        [agent.title for agent in AGENTS],
        [[cut, *(_cell(shown, agent.name, cut) for agent in AGENTS)] for cut in CUTS],
    )
    by_method = _table(
        METHODS, [[cut, *(_wide_cell(shown, method, cut) for method in METHODS)] for cut in CUTS]
    )
    not_so = "".join(f"- {method}, {cut}: {why}.\n" for (method, cut), why in NOT_SO.items())
    others = _OTHERS.format(agents=" and ".join(agent.title for agent in _WIDE))
    return f"{_HEAD}\n{by_agent}{others}\n{by_method}\n{not_so}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = ["what cuts it off", *columns]
    return "".join("| " + " | ".join(row) + " |\n" for row in (head, ["---"] * len(head), *rows))


def _wide_cell(shown: Shown, method: str, cut: str) -> str:
    if (method, cut) in NOT_SO:
        return "-"
    told = {agent.title: _MARKS[shown.get((agent.name, method, cut), "skipped")] for agent in _WIDE}
    one = set(told.values())
    return one.pop() if len(one) == 1 else "; ".join(map(": ".join, told.items()))


def _cell(shown: Shown, agent: str, cut: str) -> str:
    told = [_MARKS[shown.get((agent, store, cut), "skipped")] for store in STORES]
    return told[0] if len(set(told)) == 1 else "; ".join(map(": ".join, zip(STORES, told, strict=True)))


if __name__ == "__main__":
    sys.exit(main())
