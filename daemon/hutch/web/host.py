"""What the daemon takes of its host: a lock on its state, a token, a private folder, descriptors, a log."""

import fcntl
import hashlib
import logging
import os
import resource
import secrets
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from hutch.config import Config, own_folder
from hutch.errors import HutchError

_MAX_PRIVATE = 70  # characters of the private folder: a unix socket's path holds 107, and a run's id goes in
_OPEN_FILES = 65_536


@contextmanager
def only_one(state: Path) -> Generator[None]:
    """Hold the state folder for this daemon alone; the kernel lets go of it when we end, however we end."""
    with (own_folder(state) / "daemon.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "end it with: hutch stop --daemon; or give this one another daemon.state"
            raise HutchError("daemon_running", f"another daemon uses {state}", hint) from None
        yield


def bearer_token(path: Path) -> str:
    """Read the bearer token, made at the first start."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    with os.fdopen(fd, "w", encoding="ascii") as file:
        token = secrets.token_urlsafe(32)
        file.write(token + "\n")
    return token


def private_folder(config: Config) -> Path:
    """Return a folder for sockets, beside the daemon's own, or where that path is too long for them."""
    folder = config.daemon.socket.with_name(config.daemon.socket.name + ".runs")
    if len(str(folder)) > _MAX_PRIVATE:
        digest = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"hutch-{os.geteuid()}-{digest}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = folder.lstat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o077 or folder.is_symlink():
        raise HutchError(
            "folder_unsafe", f"{folder} is not private to this user", "remove it, then start again"
        )
    return folder


def raise_open_files() -> None:
    """Take all descriptors that we may have: a run needs a dozen."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, _OPEN_FILES)), hard))


def log_to_stderr(level: str) -> None:
    """Log from this level on; the libraries below us only what someone should look at."""
    form = "%(asctime)s %(levelname)s %(name)s %(message)s"
    logging.basicConfig(level=level.upper(), format=form)
    for chatty in ("mcp", "httpx2", "sse_starlette"):
        logging.getLogger(chatty).setLevel(max(logging.getLogger().level, logging.WARNING))
