"""Where an agent's program is on this host."""

import importlib.util
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from hutch.errors import HutchError

_NATIVE = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")  # ELF, Mach-O, Mach-O of several machines


def native_binary(agent: str, install: str, configured: Path | None, places: Iterable[Path]) -> Path:
    """Return the first that is a native binary, resolved: as configured, else of the `places`.

    Raises HutchError `agent_missing`, with how to `install` it.
    """
    for path in [configured] if configured else places:
        if is_native(path):
            return path.resolve()
    where = f"'{configured}' is not its native binary" if configured else "it is not installed"
    raise HutchError("agent_missing", f"{agent} was not found: {where}", f"install it: {install}")


def in_package(package: str, *names: str) -> Iterator[Path]:
    """Yield the path of a file in an installed package, which is not imported."""
    found = importlib.util.find_spec(package)
    if found is not None and found.origin is not None:
        yield Path(found.origin).parent.joinpath(*names)


def on_path(program: str) -> Iterator[Path]:
    """Yield the program that a shell would start."""
    found = shutil.which(program)
    if found is not None:
        yield Path(found)


def is_native(path: Path) -> bool:
    """Whether it can run where nothing else is installed: npm's launchers are scripts that want Node."""
    try:
        with path.open("rb") as file:
            return file.read(4) in _NATIVE and os.access(path, os.X_OK)
    except OSError:
        return False
