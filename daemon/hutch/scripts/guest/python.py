"""Calls a script's `main` inside its sandbox. Python 3.8 or newer, standard library only.

Standard output belongs to the result alone: what the script and its children print goes to standard error.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import importlib.util
import inspect
import json
import os
import runpy
import sys
import traceback
from typing import Any, Awaitable

HERE = os.path.dirname(os.path.abspath(__file__))
OWN = os.path.join(HERE, "of", "")  # where the script is
# pydantic, and what SDKs make of it; times; arrays
_OWN_WAYS: list[tuple[str, dict[str, str]]] = [
    ("model_dump", {"mode": "json"}),
    ("isoformat", {}),
    ("tolist", {}),
]


def plain(value: object) -> object:
    """Return what stands for a value in JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, os.PathLike) or type(value).__module__ in ("uuid", "decimal"):
        return str(value)
    for name, options in _OWN_WAYS:
        if hasattr(value, name):
            return getattr(value, name)(**options)
    raise TypeError(f"main returned a {type(value).__name__}, which is not JSON")


async def awaited(value: Awaitable[object]) -> object:
    """Wait for what main is to return."""
    return await value


def returned(script: str, args: dict[str, Any]) -> object:
    """Import the script and return what its main returns."""
    spec = importlib.util.spec_from_file_location("script", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["script"] = module
    spec.loader.exec_module(module)
    try:
        inspect.signature(module.main).bind(**args)
    except TypeError as error:
        raise SystemExit(f"error: main: {error}") from None
    value = module.main(**args)
    return asyncio.run(awaited(value)) if inspect.isawaitable(value) else value


def tell(error: BaseException) -> None:
    """Print an exception without our own part in it."""
    trace = error.__traceback__
    while trace is not None and not trace.tb_frame.f_code.co_filename.startswith(OWN):
        trace = trace.tb_next
    sys.stdout.flush()
    traceback.print_exception(type(error), error, trace)


def main() -> int:
    """Return the exit code."""
    with open(os.path.join(HERE, "call.json"), encoding="utf-8") as file:
        call = json.load(file)
    sys.path[0] = os.getcwd()  # modules beside what it works on
    script = os.path.join(OWN, call["script"])
    sys.argv = [script]
    if not call["has_main"]:
        del sys.modules["__main__"]
        runpy.run_path(script, run_name="__main__")
        return 0
    sys.stdout.flush()
    result = os.dup(1)  # not inherited by children
    os.dup2(2, 1)
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    try:
        value = returned(script, call["args"])
        text = json.dumps(value, default=plain, allow_nan=False)
    except Exception as error:
        tell(error)
        return 1
    sys.stdout.flush()
    with open(result, "w", encoding="utf-8") as out:
        out.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
