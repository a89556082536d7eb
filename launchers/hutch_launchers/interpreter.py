"""Which Python runs the guest inside a sandbox: the system's, visible there, else the daemon's own."""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from hutch_launchers.spec import Mount

GUEST = "/opt/hutch/guest.py"
GUEST_SOURCE = Path(__file__).parent / "guest" / "server.py"

_OWN = PurePosixPath("/opt/hutch/python")
_SYSTEM = Path("/usr/bin/python3")
_OLDEST = 9  # minor version that the guest needs


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python inside: its program there, what to mount for it, what its environment needs."""

    program: str
    mounts: tuple[Mount, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


def find_interpreter(visible: tuple[str, ...]) -> Interpreter:
    """`visible`: the host folders that are inside at their own paths."""
    named = re.search(r"python3\.(\d+)$", str(_SYSTEM.resolve()))
    if named and int(named[1]) >= _OLDEST and "/usr" in visible:
        return Interpreter(str(_SYSTEM))
    prefix = Path(sys.base_prefix).resolve()
    program = f"bin/python3.{sys.version_info.minor}"
    if any(prefix.is_relative_to(folder) for folder in visible):
        return Interpreter(str(prefix / program))
    # its libraries may be linked by the host's path, which is not there
    return Interpreter(str(_OWN / program), (Mount(prefix, _OWN),), {"LD_LIBRARY_PATH": str(_OWN / "lib")})
