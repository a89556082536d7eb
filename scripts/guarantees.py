"""Writes docs/guarantees.md: the promises, what the probe measured, what the contract's suite has shown.

scripts/guarantees.py                   run the suite and write the page
scripts/guarantees.py --results FILE    write it from the results of a run: HUTCH_CONTRACT_RESULTS=FILE pytest
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.contract_cases import CASES, GROUPS, OPEN, Case  # noqa: E402 - the line above finds it

PAGE = ROOT / "docs/guarantees.md"
PAGE_TEST = ROOT / "tests/contract/test_guarantees_page.py"
USERS = ("root", "ordinary user")
_WORST = ("broken", "not held", "held", "not applicable")

HEAD = """# What Hutch guarantees

> For a run under a policy, whatever the code inside does: (1) no byte outside the granted roots changes;
> (2) no byte outside the granted reads is observable; (3) no packet leaves except by a rule of the
> policy; (4) no secret is inside that was not put there by name; (5) nothing of it runs after it has
> ended; (6) a volume is always some committed state; (7) what cannot be enforced here does not start.

Guarantees are measured, not claimed. A method's probe starts a real sandbox with canaries (`hutch doctor`
shows what it saw on your host), a run whose policy needs more than the probe has seen is refused with
`guarantee_missing`, and each run's record names the mechanism that enforced each part. Behind that stands
a suite of attacks, `tests/contract`: every one is made on real sandboxes, beside the allowed action that
must still work. This page is written from its results by `scripts/guarantees.py`.
"""

TAIL = """## What does not hold yet

{open}
- **Limits without control groups** (an ordinary user on a host that delegates none): memory is a limit on
  each process and a watch over their sum that looks ten times a second, processes are counted by
  `RLIMIT_NPROC`, CPU time is bounded by the number of CPUs. The record of a run says which mechanism it
  was.
- **The setgid bit** can be set on a file in a volume. The file lies in a folder of the daemon's that no other
  user can enter, and a check-out does not carry the bit on.
- **A forged result** of a kept sandbox's guest is not attacked by the suite: code beside the guest runs as
  the same user, so what it says of its own sandbox's commands is no more than the sandbox's word.
- **A sandbox of root's daemon** has a user that is the host's root without any of its rights. Prefer an
  ordinary user.
- **`pass_env`** hands values *into* the sandbox; the agent and every command that it runs can read them.
  Credentials that are added outside come with the allow-list proxy.
- **Network rules** are whole destinations (`host:port`), one listener each. Rules by host pattern, path
  and method come with the allow-list proxy.
- **Workspaces** are shown with all that is in them: what a hard link made before the start shows is shown,
  and in a writable workspace it cannot be written. A socket that the host makes there *during* a run can
  be connected to.
- **A kernel of its own** is given by no method yet: a flaw of the host's kernel is within reach of the
  system calls that the filter allows.
- **Google Cloud Storage** is tested only as far as the wire: which conditions are sent and how answers are
  read. No server that can stand in its place honours them. In a real bucket they are shown by the race that
  every store must pass before its first use. S3 is tested on Ceph's gateway 16, Azure on Azurite, both with
  the engine's own suite; Amazon S3, MinIO, R2 and Azure itself by nobody yet.
- Other methods than bubblewrap and a wrapper, quotas of volumes and an audit log are still to come; their
  cases are marked *not applicable*.
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path)
    path: Path | None = parser.parse_args().results
    results = json.loads(path.read_text(encoding="utf-8")) if path else run_suite()
    table = {(case.key, user): cell(case, user, results["cases"]) for case in CASES for user in USERS}
    if unknown := [key for key, text in table.items() if text in ("", "broken")]:
        sys.stderr.write(
            f"error: these cases were not shown, or failed: {unknown}\nhint: run tests/contract as root\n"
        )
        return 1
    PAGE.write_text("\n".join(page(table, results["methods"])), encoding="utf-8")
    return 0


def run_suite() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "results.json")
        command = [sys.executable, "-m", "pytest", "-q", "tests/contract", "--ignore", str(PAGE_TEST)]
        env = {**os.environ, "HUTCH_CONTRACT_RESULTS": str(path)}
        subprocess.run(command, cwd=ROOT, env=env, check=False, stdout=sys.stderr)
        results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return results


def cell(case: Case, user: str, shown: list[list[str]]) -> str:
    """What was seen of a case by a user's daemon; the worst of its tests counts. Empty: nothing."""
    if case.not_applicable:
        return "not applicable"
    seen = {outcome for key, by, outcome, _ in shown if key == case.key and by == user}
    worst = next((outcome for outcome in _WORST if outcome in seen), "")
    return case.outcome if worst == "held" else worst


def page(table: Mapping[tuple[str, str], str], methods: Mapping[str, Any]) -> Iterator[str]:
    yield HEAD
    yield "## Guarantees of a method\n"
    yield "As the probe measured them where this page was written: " + host() + ".\n"
    yield from guarantee_table(methods)
    yield "\n## Cases\n"
    yield (
        "*held*: the attack fails and everything else goes on. *refused*: the request itself is turned\n"
        "down. *not held*: see below. The method is bubblewrap, by a daemon that runs as root or as an\n"
        "ordinary user. A wrapper has no column: it is as good as its program, which the probe measures.\n"
        "For one that isolates nothing, the suite shows that nothing is ever started in it.\n"
    )
    for group, title in GROUPS.items():
        yield f"### {title}\n"
        yield f"| case | {' | '.join(USERS)} |"
        yield "|---|---|---|"
        for case in CASES:
            if case.group == group:
                yield row(case, [table[case.key, user] for user in USERS])
        yield ""
    yield from why_not_applicable()
    yield ""
    yield TAIL.format(open="\n".join(open_points())).rstrip() + "\n"


def guarantee_table(methods: Mapping[str, Any]) -> Iterator[str]:
    names = list(methods)
    yield "| guarantee | " + " | ".join(names) + " |"
    yield "|---" * (len(names) + 1) + "|"
    for guarantee in dict.fromkeys(name for method in methods.values() for name in method["guarantees"]):
        cells = [method["guarantees"].get(guarantee) for method in methods.values()]
        texts = [
            f"{'held' if c['held'] else 'not held'}: {c['mechanism'] or c['detail']}" if c else "-"
            for c in cells
        ]
        yield f"| {guarantee} | " + " | ".join(texts) + " |"


def row(case: Case, cells: list[str]) -> str:
    return f"| {case.title} | " + " | ".join(cells) + " |"


def why_not_applicable() -> Iterator[str]:
    yield "Not applicable, because:\n"
    for case in CASES:
        if case.not_applicable:
            yield f"- *{case.title}*: {case.not_applicable}."


def open_points() -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for (_, user), reason in OPEN.items():
        reasons.setdefault(reason, []).append(user)
    for reason, users in reasons.items():
        by = (
            ""
            if set(users) == set(USERS)
            else f" (the daemon run by {'root' if users[0] == 'root' else 'an ordinary user'})"
        )
        yield f"- {reason[0].upper()}{reason[1:]}{by}."


def host() -> str:
    name = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    return f"{name}, Linux {platform.release().partition('-')[0]}, {platform.machine()}"


if __name__ == "__main__":
    sys.exit(main())
