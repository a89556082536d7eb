"""How a store is to be opened, besides its URL. Secrets are named, never held."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hutch.volumes.failures import StoreError

Stamp = tuple[int, int, int] | None

_READABLE = "correct storage.credentials_file, and let the daemon's user read it"


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What the owner of a store may say. Empty: what the provider's own tools would take.

    credentials_env: names of environment variables. S3: key id, secret and, if there is one, session token.
    Azure: the account's key or a SAS. Google: a service account's key, as JSON.
    credentials_file: the same in a file; for S3 one of AWS's form, of which `profile` names a part.
    """

    endpoint_url: str = ""
    region: str = ""
    addressing: str = "auto"  # path, virtual; auto: path at an endpoint of one's own
    account: str = ""  # Azure only
    credentials_env: tuple[str, ...] = ()
    credentials_file: Path | None = None
    profile: str = ""
    connect_timeout_s: float = 5.0
    timeout_s: float = 30.0  # without a byte
    retry_s: float = 30.0  # a request that failed in passing is not begun again after this time
    max_requests: int = 16  # at once


def read_file(options: StoreOptions) -> str:
    """What `credentials_file` holds, "" if none is named. Raises StoreError `store_credentials`."""
    file = options.credentials_file
    if file is None:
        return ""
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{file}: cannot be read: {error}", "store_credentials", _READABLE) from None
    if not text:
        raise StoreError(f"{file}: holds no credentials", "store_credentials", _READABLE)
    return text


def values_of(options: StoreOptions, env: Mapping[str, str] = os.environ) -> list[str]:
    """The values of `credentials_env`, in order. Raises StoreError `store_credentials`."""
    missing = [name for name in options.credentials_env if not env.get(name)]
    if missing:
        raise StoreError(
            f"{', '.join(missing)}: named by storage.credentials_env, not set in the daemon's environment",
            "store_credentials",
            "set it where the daemon is started, and start the daemon anew",
        )
    return [env[name] for name in options.credentials_env]


def stamp_of(options: StoreOptions) -> Stamp:
    """Which state of `credentials_file` this is; None: there is no such file."""
    try:
        found = options.credentials_file.stat() if options.credentials_file else None
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns) if found else None
