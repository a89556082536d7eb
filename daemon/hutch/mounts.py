"""The volumes of a run as a caller writes them: which, at which snapshot, where. Pure; denies by default.

web                    the volume, to be written, at /workspace
web:/data:ro           elsewhere, to be read
web@12:ro              as it was at a snapshot: its number, a tag, a time or an age
try=web@12:/data       a new volume that begins there, to be written
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from hutch.access import Level, Rights, interpolate, read_name, spell
from hutch.config import Config
from hutch.errors import HutchError

HOME = PurePosixPath("/home/agent")
WORKSPACE = PurePosixPath("/workspace")

# A volume may not hide what the sandbox itself is made of.
_TAKEN = frozenset(
    {"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "opt", "proc", "run", "sbin", "sys", "usr"}
)
_MOST = 5000  # characters of a volume as it is asked for: two names of 255, a path of 4096
_NAME = r"[^:=@]+(?:@conflict-[0-9TZ-]+)?"
_PARTS = re.compile(
    rf"(?P<name>{_NAME})(?:=(?P<source>{_NAME}))?"
    r"(?:@(?P<at>[^:=@/]+(?::[0-9]{2}[^:=@/]*)*))?"  # a time has colons too
    r"(?P<rest>(?::.*)?)",
    re.DOTALL,
)
_HINT = "write it as name, name:ro, name:/path or name:/path:ro"


@dataclass(frozen=True, slots=True)
class VolumeMount:
    """A volume, by name, at a path inside."""

    name: str  # in its one spelling
    target: PurePosixPath
    writable: bool
    at: str | None = None  # a snapshot, of `source` where there is one; None: the newest
    source: str | None = None  # the volume is new, and a fork of this one

    @property
    def key(self) -> str:
        """What tells it from the other volumes of its run: one may be there as it is and as it was."""
        return self.name if self.writable or self.at is None else f"{self.name}@{self.at}"


def read_mounts(texts: Sequence[str], args: Mapping[str, object], config: Config) -> tuple[VolumeMount, ...]:
    """Read the volumes of a run.

    Raises:
        HutchError: `volume_invalid`, `volume_name_invalid`, `template_invalid`, `argument_invalid`.
    """
    if len(texts) > config.policy.max_volumes:
        raise HutchError("volume_invalid", f"at most {config.policy.max_volumes} volumes go into one run")
    mounts = tuple(read_mount(text, args, config.daemon.workspace) for text in texts)
    keys = [mount.key for mount in mounts]
    for key in keys:
        if keys.count(key) > 1:
            raise HutchError(
                "volume_invalid",
                f"volume {key!r} is asked for twice",
                "mount it once; its past as NAME@AT:/path:ro",
            )
    return mounts


def read_mount(text: str, args: Mapping[str, object], workspace: str) -> VolumeMount:
    """Read one volume, and then the templates in its names. Raises what `read_mounts` raises."""
    if len(text) > _MOST:
        raise HutchError("volume_invalid", f"{text[:80]!r}… is too long for a volume", _HINT)
    found = _PARTS.fullmatch(text)
    rest = found["rest"].split(":")[1:] if found else []
    if rest in (["ro"], ["rw"]):
        rest = [str(WORKSPACE), *rest]
    if not found or len(rest) > 2 or rest[1:] not in ([], ["ro"], ["rw"]) or not all(rest):
        raise HutchError("volume_invalid", f"{text!r} is not a volume", _HINT)
    if "$" in "".join(rest) or "$" in (found["at"] or ""):
        raise HutchError(
            "template_invalid", f"{text!r}: templates stand in a volume's name, not in its path", _HINT
        )
    name, source = (
        text and spell(read_name(interpolate(text, workspace=workspace, args=args), workspace), workspace)
        for text in (found["name"], found["source"])
    )
    mount = VolumeMount(name, _target(rest, name), rest[1:] != ["ro"], found["at"], source)
    _refuse_contradictions(mount)
    return mount


def refuse_ungranted(volumes: Sequence[VolumeMount], config: Config, rights: Rights) -> None:
    """Raise HutchError `volume_unknown` or `volume_read_only` unless all may be mounted so, now."""
    for mount in volumes:
        needed = Level.WRITE if mount.writable else Level.READ
        rights.require(read_name(mount.name, config.daemon.workspace), needed)
        if mount.source:
            rights.require(read_name(mount.source, config.daemon.workspace), Level.READ)


def inside(text: str, code: str, what: str) -> PurePosixPath:
    """Read an absolute path inside the sandbox; relative ones start at /workspace."""
    path = WORKSPACE / re.sub(r"^/+", "/", text)  # two slashes at the front would be a root of their own
    if "\0" in text or "\n" in text or ".." in path.parts or not text.strip():
        raise HutchError(code, f"{what} cannot be {text!r}", "use an absolute path without '..'")
    return path


def _target(rest: Sequence[str], name: str) -> PurePosixPath:
    if rest and not rest[0].startswith("/"):
        raise HutchError("volume_invalid", f"the path of volume {name!r} must begin with '/'", _HINT)
    target = inside(rest[0], "volume_invalid", f"the path of volume {name!r}") if rest else WORKSPACE
    if (target.parts[1:2] and target.parts[1] in _TAKEN) or target in (PurePosixPath("/"), HOME.parent):
        raise HutchError(
            "volume_invalid", f"volume {name!r} cannot be mounted at {target}", f"use a path like {WORKSPACE}"
        )
    return target


def _refuse_contradictions(mount: VolumeMount) -> None:
    if mount.at and mount.writable and not mount.source:
        raise HutchError(
            "volume_invalid",
            f"volume {mount.name!r} at {mount.at} is the past, which nobody writes",
            f"read it: {mount.name}@{mount.at}:ro; or write a fork of it: NEW={mount.name}@{mount.at}",
        )
    if mount.source and not mount.writable:
        raise HutchError(
            "volume_invalid",
            f"volume {mount.name!r} would be a fork that nobody writes",
            f"read what it would be a fork of: {mount.source}{f'@{mount.at}' if mount.at else ''}:ro",
        )
