"""How long a call waits for its answer, and how much of a run's output one answer holds."""

from typing import Annotated

from pydantic import Field

DEFAULT_WAIT_S = 45.0
MAX_WAIT_S = 50.0  # the shortest client limit met is 60 s
DEFAULT_OUTPUT = 16_000  # characters of output in one answer
MAX_OUTPUT = 200_000
WaitS = Annotated[float, Field(ge=0, le=MAX_WAIT_S)]
OutputChars = Annotated[int, Field(ge=200, le=MAX_OUTPUT)]
