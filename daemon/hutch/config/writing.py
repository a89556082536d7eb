"""Changes the configuration's file and leaves everything else in it as it stands, comments too."""

import difflib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Array, Table

from hutch.config.load import parse
from hutch.errors import HutchError


def with_secret(text: str, name: str, values: Mapping[str, object], *, granted: bool) -> str:
    """Return the file's text with the table [secrets.NAME]; `granted`: and its name in policy.secrets."""
    document = _read(text)
    table = tomlkit.table()
    for key, value in values.items():
        table.add(key, value)
    secrets = document.setdefault("secrets", tomlkit.table(is_super_table=True))
    secrets[name] = table
    if granted:
        _granted(document, "secrets").append(name)
    return tomlkit.dumps(document)


def without_secret(text: str, name: str) -> str:
    """Return the file's text without [secrets.NAME] and its grant. Raises HutchError `secret_unknown`."""
    document = _read(text)
    secrets = document.get("secrets", {})
    if name not in secrets:
        raise HutchError(
            "secret_unknown", f"the configuration has no table [secrets.{name}]", "hutch secret ls"
        )
    del secrets[name]
    if not secrets:
        del document["secrets"]
    for grant in (name, f"{name}:env"):
        if grant in document.get("policy", {}).get("secrets", ()):
            _granted(document, "secrets").remove(grant)
    return tomlkit.dumps(document)


def with_network(text: str, name: str, values: Mapping[str, object]) -> str:
    """Return the file's text with the table [network.NAME], and its name in policy.networks."""
    document = _read(text)
    networks = document.setdefault("network", tomlkit.table(is_super_table=True))
    table = tomlkit.table()
    for key, value in values.items():
        table.add(key, _inline(value))
    networks[name] = table
    granted = _granted(document, "networks")
    if name not in granted:
        granted.append(name)
    return tomlkit.dumps(document)


def _inline(value: object) -> object:
    """A table within a network stands on its line."""
    if isinstance(value, Mapping):
        made = tomlkit.inline_table()
        made.update({key: _inline(each) for key, each in value.items()})
        return made
    if isinstance(value, list):
        items = tomlkit.array()
        items.extend(_inline(each) for each in value)
        return items
    return value


def _granted(document: tomlkit.TOMLDocument, key: str) -> Array:
    policy = document.setdefault("policy", tomlkit.table())
    assert isinstance(policy, Table)
    granted = policy.setdefault(key, tomlkit.array())
    assert isinstance(granted, Array)
    return granted


def _read(text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text if not text or text.endswith("\n") else f"{text}\n")
    except TOMLKitError as error:
        raise HutchError("config_invalid", f"the configuration is not TOML: {error}") from None


def difference(file: Path, old: str, new: str) -> str:
    """Return what changes, as people read it."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), str(file), str(file), lineterm="")
    return "".join(f"{line.rstrip()}\n" for line in lines)


def write(file: Path, text: str, env: Mapping[str, str]) -> None:
    """Put `text` in the file's place, whole or not at all. Raises HutchError `config_invalid`, OSError."""
    parse(text, env, file)
    file = file.resolve()
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    mode = file.stat().st_mode & 0o777 if file.exists() else 0o600
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False) as made:
        made.write(text)
        made.flush()
        os.fsync(made.fileno())
    Path(made.name).chmod(mode)
    Path(made.name).replace(file)
