"""A user with ranges of subordinate ids, whom this machine does not have: in a mount namespace of its own."""

import os
import sys
from pathlib import Path

UID = 1510  # nobody else's here
_PROGRAM = """
set -e
mount --make-rprivate /
# the folder, not its files: a mount over a file goes when the host replaces the file, as useradd does
cp -a /etc "$1/etc" || :  # a file of the moment may have gone
cp "$1/passwd" "$1/group" "$1/subuid" "$1/subgid" "$1/etc"; mount --bind "$1/etc" /etc
if [ -d "$2" ]; then
  mkdir "$1/python"; mount --bind "$2" "$1/python"
  mount -t tmpfs -o mode=755 none /root; mkdir -p "$2"; mount --bind "$1/python" "$2"
fi
home=$1; shift 2
exec setpriv --reuid 1510 --regid 1510 --clear-groups env -i \
  PATH="$PATH" PYTHONPATH="$PYTHONPATH" HUTCH_CONFIG="$HUTCH_CONFIG" \
  HOME="$home/home" XDG_RUNTIME_DIR="$home/run" "$@"
"""


def as_rootless(folder: Path, *command: str, has_own_pids: bool = True) -> list[str]:
    """The words by which root runs a Python program as such a user; `folder` is to be empty, and short."""
    folder.chmod(0o755)
    for name, line in (("passwd", f"u:x:{UID}:{UID}::{folder}/home:/bin/sh"), ("group", f"u:x:{UID}:")):
        known = Path("/etc", name).read_text(encoding="utf-8")
        (folder / name).write_text(f"{known}{line}\n", encoding="utf-8")
    for name in ("subuid", "subgid"):
        (folder / name).write_text("u:300000:65536\n", encoding="utf-8")
    for name in ("home", "run"):
        (folder / name).mkdir(mode=0o700)
        os.chown(folder / name, UID, UID)
    base = Path(sys.base_prefix)
    hidden = str(base) if base.is_relative_to("/root") else "/nowhere"  # where others may not look
    # podman leaves a process that holds its namespaces: it ends with this one
    own = ("--mount", *(("--pid", "--fork", "--kill-child", "--mount-proc") if has_own_pids else ()))
    return ["unshare", *own, "sh", "-c", _PROGRAM, "sh", str(folder), hidden, sys.executable, *command]
