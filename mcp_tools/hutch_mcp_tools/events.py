"""What a call tells on the way to its answer."""

from anyio.abc import ObjectSendStream

from hutch_mcp_tools.run_records import Stream
from hutch_mcp_tools.wire import BASE64, Wire


class RunEvent(Wire):
    """Something on the way to an answer: new output of a run, a piece of an archive, what is waited for."""

    model_config = BASE64

    run_id: str | None = None
    stream: Stream | None = None
    data: bytes = b""  # exactly as it was written; a character may be split between two events
    note: str = ""

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace")


Events = ObjectSendStream[RunEvent]
