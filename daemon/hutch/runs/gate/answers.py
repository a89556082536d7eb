"""What every method of the service has in common: its errors are those of the wire."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from hutch.errors import HutchError
from hutch.runs.path.ending import plain
from hutch_launchers.launcher import LauncherError
from hutch_mcp_tools.service import ServiceError

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")
Method = Callable[Concatenate[S, P], Coroutine[Any, Any, R]]


def answers(method: Method[S, P, R]) -> Method[S, P, R]:
    """Translate the daemon's errors into those of the wire, once, for every method."""

    @wraps(method)
    async def translated(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await method(self, *args, **kwargs)
        except (HutchError, LauncherError, OSError) as error:
            told = plain(error)
            raise ServiceError(told.code, told.message, told.hint) from error

    return translated
