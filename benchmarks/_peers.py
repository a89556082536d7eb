"""The tools that users would reach for otherwise, doing the same steps on a copy of the same workspace."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from _stores import Bucket
from _workspace import edit

TOOLS = Path(__file__).parents[1] / ".cache" / "peers"  # scripts/install-peers
Timed = Callable[[str], AbstractContextManager[None]]
STEPS = ("commit", "open unchanged", "commit of an edit", "restore", "restore again")


def find(tool: str) -> str | None:
    """The pinned one, else what the machine has."""
    pinned = TOOLS / tool
    return str(pinned) if pinned.exists() else shutil.which(tool)


def tar(timed: Timed, workspace: Path, space: Path, bucket: Bucket | None, prefix: str) -> None:
    """Not a peer but a limit: it reads all and writes all, once."""
    del bucket, prefix
    _archive("tar", timed, space, f"tar -C {workspace} -cf", "tar -xf")


def tar_zstd(timed: Timed, workspace: Path, space: Path, bucket: Bucket | None, prefix: str) -> None:
    """The same with compression."""
    del bucket, prefix
    create = f"tar -I 'zstd -1 -T2' -C {workspace} -cf"
    _archive("tar | zstd -1 -T2", timed, space, create, "tar -I 'zstd -d' -xf")


def _archive(name: str, timed: Timed, space: Path, create: str, extract: str) -> None:
    archive, target = space / "archive", space / "extracted"
    target.mkdir()
    with timed(f"commit: {name}"):
        _call("sh", "-c", f"{create} {archive} .")
    with timed(f"restore: {name}"):
        _call("sh", "-c", f"{extract} {archive} -C {target}")
    archive.unlink()
    shutil.rmtree(target)


def restic(timed: Timed, workspace: Path, space: Path, bucket: Bucket | None, prefix: str) -> None:
    """With its defaults and a local cache, as its users have it."""
    tool, copy = find("restic") or "", _copy_of(workspace, space)
    place = f"s3:{bucket.endpoint}/{bucket.name}/{prefix}/restic" if bucket else str(space / "restic")
    base = [tool, "-q", "-r", place, "--cache-dir", str(space / "restic-cache")]
    env = _env(space, bucket) | {"RESTIC_PASSWORD": "bench"}
    _call(*base, "init", env=env)
    target = str(space / "restored")
    restore = [*base, "restore", "latest", "--target", target, "--overwrite", "if-changed"]
    for step in STEPS:
        if step == "commit of an edit":
            edit(copy, seed=1)
        with timed(f"{step}: restic"):
            if step.startswith("restore"):
                _call(*restore, env=env)
            else:
                _call(*base, "backup", ".", env=env, cwd=copy)
    _clear(copy, target)


def rclone(timed: Timed, workspace: Path, space: Path, bucket: Bucket | None, prefix: str) -> None:
    """File by file, sixteen at once; it keeps links as small files of its own and no history."""
    tool, copy = find("rclone") or "", _copy_of(workspace, space)
    place = f":s3:{bucket.name}/{prefix}/rclone" if bucket else str(space / "rclone")
    options = ["--links", "--transfers", "16", "--checkers", "16", "--config", os.devnull]
    if bucket:
        options += ["--s3-provider", "Ceph", "--s3-endpoint", bucket.endpoint, "--s3-env-auth"]
    env, target = _env(space, bucket), str(space / "restored")
    for step in STEPS:
        if step == "commit of an edit":
            edit(copy, seed=1)
        ends = (place, target) if step.startswith("restore") else (str(copy), place)
        with timed(f"{step}: rclone"):
            _call(tool, "sync", *ends, *options, env=env)
    _clear(copy, target)


PEERS = {"tar": tar, "zstd": tar_zstd, "restic": restic, "rclone": rclone}


def _copy_of(workspace: Path, space: Path) -> Path:
    copy = space / "copy"
    _call("cp", "-a", str(workspace), str(copy))
    return copy


def _clear(*folders: Path | str) -> None:
    for folder in folders:
        shutil.rmtree(folder)


def _env(space: Path, bucket: Bucket | None) -> dict[str, str]:
    return {"HOME": str(space), "PATH": os.environ["PATH"], **_keys(bucket)}


def _keys(bucket: Bucket | None) -> dict[str, str]:
    if bucket is None:
        return {}
    return {"AWS_ACCESS_KEY_ID": bucket.access_key, "AWS_SECRET_ACCESS_KEY": bucket.secret_key}


def _call(*argv: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
    subprocess.run(argv, check=True, env=env, cwd=cwd)
