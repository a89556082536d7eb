"""An agent's turn as a person follows it: what it says, what it does, what fails."""

import sys

from hutch.agents import Reading
from hutch.cli.terminal import Sink
from hutch.telling.story import told
from hutch_mcp_tools.run_records import Stream


class Story:
    """Tells an agent's event lines on stdout, or on stderr; what it writes to stderr goes on to ours."""

    def __init__(self, reading: Reading, *, aside: bool = False) -> None:
        self._reading = reading
        self._out = sys.stderr if aside else sys.stdout
        self._errors = Sink(sys.stderr.buffer)

    def output(self, stream: Stream, data: bytes) -> None:
        if stream == "stderr":
            self._errors.write(data)
            return
        for event in self._reading.feed(data):
            for line in told(event):
                print(line, file=self._out, flush=True)

    def end(self) -> None:
        self._errors.end()
