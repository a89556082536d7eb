"""Where a secret's value comes from; it is read when a run begins, and kept nowhere."""

import os
from collections.abc import Mapping
from pathlib import Path
from subprocess import DEVNULL, PIPE

import anyio
from anyio import to_thread

from hutch.config import Secret
from hutch.errors import HutchError

_PATIENCE_S = 60.0  # a password manager may ask a person first
_MOST = 64 << 10  # bytes of a file


async def read_value(name: str, secret: Secret, env: Mapping[str, str] = os.environ) -> bytes:
    """Return the value, without a line's end behind it.

    Raises HutchError `secret_missing` where its place is empty, `secret_unreadable`.
    """
    if secret.from_env:
        value = os.fsencode(env.get(secret.from_env, ""))
        where = f"the daemon's environment has no {secret.from_env}"
    elif secret.from_file != Path():
        value, where = await _file(name, secret.from_file), f"{secret.from_file} is empty"
    elif secret.from_command:
        value, where = await _output(name, secret.from_command), f"{secret.from_command[0]} printed nothing"
    else:
        value = await to_thread.run_sync(_from_keyring, name, secret.from_keyring)
        where = f"the keyring has nothing under {secret.from_keyring}"
    value = value.rstrip(b"\r\n")
    if not value:
        hint = "set it, then let the daemon take it up: hutch stop --daemon" if secret.from_env else ""
        raise HutchError("secret_missing", f"secret {name} has no value: {where}", hint)
    return value


async def _file(name: str, path: Path) -> bytes:
    def read() -> bytes:
        with path.open("rb") as file:
            return file.read(_MOST)

    try:
        return await to_thread.run_sync(read)
    except OSError as error:
        raise _unreadable(name, f"{path} cannot be read: {error.strerror}") from None


async def _output(name: str, argv: tuple[str, ...]) -> bytes:
    try:
        with anyio.fail_after(_PATIENCE_S):
            done = await anyio.run_process(argv, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, check=False)
    except TimeoutError:
        raise _unreadable(name, f"{argv[0]} gave no answer in {_PATIENCE_S:g} s") from None
    except OSError as error:
        raise _unreadable(name, f"{argv[0]} cannot be started: {error.strerror}") from None
    if done.returncode:
        raise _unreadable(name, f"{argv[0]} ended with exit code {done.returncode}")
    return done.stdout


def _from_keyring(name: str, entry: str) -> bytes:
    try:
        import keyring  # of the extra `keyring`
    except ImportError:
        raise _unreadable(
            name,
            "the package keyring is not installed",
            "install it beside Hutch with: pip install 'hutch[keyring]'",
        ) from None
    service, _, user = entry.rpartition("/")
    try:
        return (keyring.get_password(service, user) or "").encode()
    except Exception as error:  # noqa: BLE001 - what stands behind it is others' code, and may raise anything
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise _unreadable(name, f"the keyring refused: {why}") from None


def _unreadable(name: str, why: str, hint: str = "") -> HutchError:
    return HutchError("secret_unreadable", f"secret {name} cannot be read: {why}", hint)
