# sandbox
# memory: 256MiB
# timeout: 1m
"""What an agent made, and what its tests say of it. See steps.sh, which mounts both."""

import re
from pathlib import Path

WORK, TESTS = Path("/work"), Path("/tests")


def main(made: str, tested: str) -> dict[str, object]:
    """Return the report; `made` and `tested` are the runs that it is of."""
    said = (TESTS / "tests.txt").read_text()
    ran = re.search(r"^Ran (\d+) tests?", said, re.MULTILINE)
    tests = int(ran[1]) if ran else 0
    return {
        "files": {path.name: len(path.read_text().splitlines()) for path in sorted(WORK.glob("*.py"))},
        "tests": tests,
        "passed": tests > 0 and (TESTS / "code").read_text().strip() == "0",  # none is no success
        "runs": [made, tested],
    }
