"""The root of a container without an image: empty folders, links, and the few files that /etc must hold.

The host's /usr is bound over it, read-only: it shows what bubblewrap shows, and nothing is pulled.
"""

import hashlib
import io
import shutil
import tarfile
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hutch_launchers.hosts import name_files
from hutch_launchers.system_view import HOME, HOSTNAME, SystemView, group, passwd

SKELETON = "hutch/skeleton"  # what its name begins with, as an image
_ROOTS = Path("/run/hutch/roots")
_PRIVATE = ("tmp", HOME.lstrip("/"), "dev/shm")  # an engine gives a tmpfs the mode of what it covers
_FOLDERS = (
    *("etc", "usr", "proc", "sys", "dev", "run", "home", "var", "opt", "opt/hutch", "opt/hutch/run"),
    *("workspace", "mnt", "srv", *_PRIVATE),
)


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A root as a tar archive, and a name that changes with its content."""

    archive: bytes
    digest: str


def make_skeleton(view: SystemView) -> Skeleton:
    """Pure: the same view gives the same bytes."""
    content = io.BytesIO()
    files = {
        **dict(view.files),
        "/etc/passwd": passwd(),
        "/etc/group": group(),
        **name_files(None),
        "/etc/hostname": f"{HOSTNAME}\n".encode(),
    }
    made: set[str] = set()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for folder in (*_FOLDERS, *(f.lstrip("/") for f in view.folders)):
            _add_folders(archive, folder, made)
        for target, path in (*view.links, ("/tmp", "/var/tmp")):
            _add_folders(archive, path.lstrip("/").rpartition("/")[0], made)
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, target, 0o777
            archive.addfile(entry)
        for path, data in sorted(files.items()):
            _add_folders(archive, path.lstrip("/").rpartition("/")[0], made)
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(data), 0o444
            archive.addfile(entry, io.BytesIO(data))
    return Skeleton(content.getvalue(), hashlib.sha256(content.getvalue()).hexdigest()[:16])


def image_name(skeleton: Skeleton) -> str:
    """What it is called as an image."""
    return f"{SKELETON}:{skeleton.digest}"


def root_of(image: str) -> Path:
    """Where the root of an image of ours is on this host, for engines that keep none."""
    return _ROOTS / image.replace("/", "-").replace(":", "-")


def unpack_skeleton(view: SystemView) -> Path:
    """The root of a view, as a folder."""
    return unpack(make_skeleton(view))


def unpack(skeleton: Skeleton) -> Path:
    """Its root as a folder, made once."""
    root = root_of(image_name(skeleton))
    if not root.exists():
        _ROOTS.mkdir(parents=True, exist_ok=True, mode=0o755)
        made = Path(tempfile.mkdtemp(prefix=".new-", dir=_ROOTS))
        with tarfile.open(fileobj=io.BytesIO(skeleton.archive)) as archive:
            archive.extractall(made, filter="fully_trusted")  # noqa: S202 - it is our own
        made.chmod(0o755)
        with suppress(OSError):  # another daemon was quicker
            made.rename(root)
        shutil.rmtree(made, ignore_errors=True)
    return root


def _add_folders(archive: tarfile.TarFile, path: str, made: set[str]) -> None:
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        folder = "/".join(parts[:depth])
        if folder and folder not in made:
            made.add(folder)
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder in _PRIVATE else 0o755
            archive.addfile(entry)
