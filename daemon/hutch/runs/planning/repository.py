"""Reads what a repository says of itself in `.hutch.toml`: hostile text that may narrow its own policy."""

import os
import stat
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from hutch.config import Config, Policy, Repository
from hutch.config.reader import Reader, keys_of
from hutch.errors import HutchError
from hutch.policy import widens

NAME = ".hutch.toml"
_MAX_BYTES = 64 * 1024
_MAX_DOTS = 2000  # a key of 30,000 parts fits into the file, and keeps the parser busy for half a minute
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # not blocked by a FIFO
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OWNERS = frozenset(
    {"daemon", "storage", "policy", "methods", "agents", "network", "principals", "tiers", "volumes"}
)


def read_repositories(folder: Path, config: Config) -> Iterator[tuple[Path, Repository]]:
    """Yield what the workspace `folder`, and each folder above it within its granted root, say of themselves.

    Those above count too: else a caller would leave a repository's word behind by asking for a part of it.

    Raises HutchError `repository_file_invalid`, `repository_widens`.
    """
    roots = [root for root in config.policy.workspaces if folder.is_relative_to(root)]
    for place in (folder, *folder.parents):
        if any(place.is_relative_to(root) for root in roots):
            text = _read(place)
            if text is not None:
                yield place / NAME, parse_repository(text, str(place / NAME))


def protected_in(folder: Path, config: Config) -> tuple[str, ...]:
    """Return what stays as it is in a workspace: by the policy, and by what a repository says besides.

    Raises as `read_repositories`.
    """
    said = (name for _, repository in read_repositories(folder, config) for name in repository.protected)
    return tuple(dict.fromkeys((*config.policy.protected_names, *said)))


def parse_repository(text: bytes, source: str) -> Repository:
    """Read the text of the file `source`. Pure. Raises HutchError as `read_repositories`."""
    if text.count(b".") > _MAX_DOTS:
        raise _invalid(source, f"has more than {_MAX_DOTS} dots")
    try:
        document = tomllib.loads(text.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise _invalid(source, f"is not TOML: {error}") from None
    owners = (_OWNERS | keys_of(Policy).keys() | {"method"}) - keys_of(Repository).keys()
    for key in document:
        if key in owners:
            raise widens(source, key, "only the daemon's owner may say this")
    try:
        return Reader(source).record(Repository, document, "", Repository())
    except HutchError as error:
        raise HutchError("repository_file_invalid", error.message, error.hint) from None


def _read(folder: Path) -> bytes | None:
    """The file's content; None: there is none."""
    source = str(folder / NAME)
    with ExitStack() as stack:
        try:
            place = os.open(folder, _FOLDER)
        except OSError:
            return None  # no folder: whoever mounts it says so
        stack.callback(os.close, place)
        try:
            fd = os.open(NAME, _READ, dir_fd=place)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _invalid(source, f"cannot be read: {error.strerror}") from None
        stack.callback(os.close, fd)
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            return None  # a placeholder, by which a sandbox at work here is kept from writing one
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise _invalid(source, "is no file")
        data = b""
        while len(data) <= _MAX_BYTES and (more := os.read(fd, _MAX_BYTES + 1 - len(data))):
            data += more
    if len(data) > _MAX_BYTES:
        raise _invalid(source, f"is larger than {_MAX_BYTES >> 10} KiB")
    return data


def _invalid(source: str, what: str) -> HutchError:
    return HutchError(
        "repository_file_invalid",
        f"{source} {what}",
        "correct it or take it away; nothing starts in a repository whose own word cannot be read",
    )
