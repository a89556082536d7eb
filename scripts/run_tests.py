"""Run the tests, and what failed once more by itself: a busy machine fails what is right.

usage: python scripts/run_tests.py [pytest's words...]. What is tried again is said, and a test that fails
twice has failed. Nothing of a guarantee is tried again, as one failure in a thousand breaks it, nor are more
than a few.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_MOST = 4
_GUARANTEES = ("tests/contract/", "tests/egress/", "tests/volumes/")
_FAILED = 1  # pytest: some tests failed; anything above is that it could not run them
_NOTED = Path(".pytest_cache/v/cache/lastfailed")


def main(words: Sequence[str]) -> int:
    """Return the exit status."""
    _NOTED.unlink(missing_ok=True)
    status = _pytest(words)
    failed = [_name(noted) for noted in sorted(json.loads(_NOTED.read_bytes()))] if _NOTED.exists() else []
    if status != _FAILED or not failed or len(failed) > _MOST:
        return status
    if any(name.startswith(_GUARANTEES) for name in failed):
        return status
    print(f"tests: {len(failed)} failed among all others, and are tried once more by themselves", flush=True)
    status = _pytest(["-n", "0", *failed])
    if status == 0:
        print(f"tests: passed at their second try only: {' '.join(failed)}", flush=True)
    return status


def _name(noted: str) -> str:
    """A test's own name: shared between processes, it is noted with its group behind it."""
    name, _, group = noted.rpartition("@")
    return name if name and "]" not in group else noted


def _pytest(words: Sequence[str]) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *words], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
