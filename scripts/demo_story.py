"""How the demo tells what it does: chapters, claims with their evidence, and what it is waiting for."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SIGN_OF_LIFE_S = 3.0


class DemoError(Exception):
    """A claim does not hold, or it could not be tried."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint
        self.log = ""  # of the daemon, where one was at work


class Story:
    def __init__(self) -> None:
        sys.stdout.reconfigure(errors="replace", line_buffering=True)  # type: ignore[union-attr]  # never replaced
        self._has_colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._began = time.monotonic()
        self._chapters = 0

    def title(self, text: str) -> None:
        print(self._in("1", text))

    def chapter(self, text: str) -> None:
        self._chapters += 1
        print(f"\n{self._in('1', f'{self._chapters}. {text}')}")

    def says(self, text: str) -> None:
        for line in text.splitlines():
            print(f"     {self._in('2', line)}")

    def claim(self, claim: str, *, holds: bool, evidence: str) -> None:
        """State what is true and how that was seen. Raises DemoError where it is not."""
        if not holds:
            raise DemoError(f"does not hold: {claim}", f"what was seen: {evidence}")
        print(f"   {self._in('32', '✓')} {claim}")
        if evidence:
            self.says(evidence)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Say what is being waited for, if it takes a while."""
        over = threading.Event()

        def tell() -> None:
            start = time.monotonic()
            while not over.wait(SIGN_OF_LIFE_S):
                print(f"   … {what} ({time.monotonic() - start:.0f} s)")

        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        try:
            yield
        finally:
            over.set()
            teller.join()

    def fails(self, error: DemoError) -> None:
        sys.stdout.flush()
        print(f"   {self._in('31', '✗')} {error.what}", file=sys.stderr)
        for line in error.hint.splitlines():
            print(f"     {line}", file=sys.stderr)
        print("\nerror: the demo failed", file=sys.stderr)
        if error.log:
            print(f"hint: the daemon's log ends so:\n{error.log}", file=sys.stderr)

    def ends(self) -> None:
        print(f"\n{self._in('1', 'All of it holds')} ({time.monotonic() - self._began:.1f} s).")

    def _in(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._has_colour else text
