"""Writes docs/guarantees.md: the promises, what the probes measured, what the contract's suite has shown.

scripts/guarantees.py                   run the suite and write the page
scripts/guarantees.py --results FILE    write it from the last run there: HUTCH_CONTRACT_RESULTS=FILE pytest
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

from guarantees_words import DAEMON_LEGEND, GUARANTEES_LEGEND, HEAD, METHODS_LEGEND, TAIL  # noqa: E402 - the line above finds what they need
from hutch_launchers.contract.case import GROUPS as METHOD_GROUPS  # noqa: E402
from hutch_launchers.contract.suite import CASES as METHOD_CASES  # noqa: E402
from hutch_launchers.spec import Ability, Guarantee  # noqa: E402
from support.contract_cases import CASES, GROUPS, Case  # noqa: E402
from support.contract_methods import METHODS, OPEN  # noqa: E402

PAGE = ROOT / "docs/guarantees.md"
PAGE_TEST = ROOT / "tests/contract/test_guarantees_page.py"
USERS = ("root", "ordinary user")
Document = Mapping[str, Any]
_WORST = ("broken", "not held", "held", "not applicable")
_MARKS = {"held": "H", "refused": "R", "not applicable": "-", "not held": "**N**"}
_ABSENT = "·"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path)
    path: Path | None = parser.parse_args().results
    results = read_results(path) if path else run_suite()
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
        command = [sys.executable, "-m", "pytest", "-q", "-n", "auto", "--dist", "loadgroup"]
        command += ["--no-loadscope-reorder", "tests/contract", "--ignore", str(PAGE_TEST)]
        env = {**os.environ, "HUTCH_CONTRACT_RESULTS": str(path)}
        subprocess.run(command, cwd=ROOT, env=env, check=False, stdout=sys.stderr)
        return read_results(path)


def read_results(path: Path) -> dict[str, Any]:
    """What the processes of the newest run in a file have shown together."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    results: dict[str, Any] = {"methods": {}, "cases": []}
    for line in lines:
        if line["run"] == lines[-1]["run"]:
            results["methods"] |= line["methods"]
            results["cases"] += line["cases"]
    return results


def cell(case: Case, user: str, shown: list[list[str]]) -> str:
    """What was seen of a case by a user's daemon; the worst of its tests counts. Empty: nothing."""
    if case.not_applicable:
        return "not applicable"
    seen = {outcome for key, by, outcome, _ in shown if key == case.key and by == user}
    worst = next((outcome for outcome in _WORST if outcome in seen), "")
    return case.outcome if worst == "held" else worst


def page(table: Mapping[tuple[str, str], str], methods: Mapping[str, Document]) -> Iterator[str]:
    yield HEAD
    yield "## Guarantees of the methods\n"
    yield "As the probes measured them where this page was written: " + host() + ".\n"
    yield GUARANTEES_LEGEND
    yield from guarantee_table(methods)
    yield "\nWhat holds it, where it holds:\n"
    yield from mechanisms(methods)
    yield "\n## Attacks on the methods\n"
    yield METHODS_LEGEND
    names = [method.name for method in METHODS]
    for group, title in METHOD_GROUPS.items():
        cases = [case for case in METHOD_CASES if case.group == group]
        if cases:
            yield f"### {title}\n"
            yield f"| case | {' | '.join(names)} |"
            yield "|---" * (len(names) + 1) + "|"
            for case in cases:
                yield row(case.title, [_by_user(methods, name, case.key) for name in names])
            yield ""
    yield "## Attacks on the daemon\n"
    yield DAEMON_LEGEND
    for group, title in GROUPS.items():
        yield f"### {title}\n"
        yield f"| case | {' | '.join(USERS)} |"
        yield "|---|---|---|"
        for one in CASES:
            if one.group == group:
                yield row(one.title, [table[one.key, user] for user in USERS])
        yield ""
    yield from why_not_applicable()
    yield ""
    yield TAIL.format(open="".join(f"{point}\n" for point in open_points())).rstrip() + "\n"


def guarantee_table(methods: Mapping[str, Document]) -> Iterator[str]:
    names = [method.name for method in METHODS]
    yield "| | " + " | ".join(names) + " |"
    yield "|---" * (len(names) + 1) + "|"
    for guarantee in Guarantee:
        yield row(
            guarantee, [_pair(methods, name, lambda one, g=guarantee: _is_held(one, g)) for name in names]
        )
    for ability in Ability:
        yield row(
            f"*{ability}*",
            [_pair(methods, name, lambda one, a=ability: a in one["abilities"]) for name in names],
        )


def mechanisms(methods: Mapping[str, Document]) -> Iterator[str]:
    names = [f"{method.name} ({user})" for method in METHODS for user in USERS]
    for name, document in [(name, methods[name]) for name in names if name in methods]:
        held = [
            f"{guarantee} by {shown['mechanism']}"
            for guarantee, shown in document["guarantees"].items()
            if shown["held"] and shown["mechanism"]
        ]
        yield f"- **{name}**: {', '.join(held) or 'nothing'}."


def _pair(methods: Mapping[str, Document], name: str, holds: Any) -> str:  # noqa: ANN401 - a test of a document
    found = [methods.get(f"{name} ({user})") for user in USERS]
    return " ".join(_ABSENT if one is None else "H" if holds(one) else "-" for one in found)


def _is_held(document: Document, guarantee: str) -> bool:
    return bool(document["guarantees"].get(guarantee, {}).get("held"))


def _by_user(methods: Mapping[str, Document], name: str, key: str) -> str:
    return " ".join(_mark(methods.get(f"{name} ({user})"), key) for user in USERS)


def _mark(document: Document | None, key: str) -> str:
    if document is None:
        return _ABSENT
    return next(_MARKS[one["outcome"]] for one in document["cases"] if one["case"] == key)


def row(title: str, cells: list[str]) -> str:
    return f"| {title} | " + " | ".join(cells) + " |"


def why_not_applicable() -> Iterator[str]:
    yield "Not applicable, because:\n"
    for case in CASES:
        if case.not_applicable:
            yield f"- *{case.title}*: {case.not_applicable}."


def open_points() -> Iterator[str]:
    methods: dict[str, list[str]] = {}
    for (_, method, _), reason in OPEN.items():
        if method not in methods.setdefault(reason, []):
            methods[reason].append(method)
    for reason, names in methods.items():
        yield f"- {reason[0].upper()}{reason[1:]} ({', '.join(names)})."


def host() -> str:
    name = platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    return f"{name}, Linux {platform.release().partition('-')[0]}, {platform.machine()}"


if __name__ == "__main__":
    sys.exit(main())
