"""What was measured of a method, remembered while it can be true; the refusal that rests on it."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hutch_launchers.launcher import Evidence, LauncherError, Probe
from hutch_launchers.spec import Ability, Guarantee, SandboxSpec

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_BY_GROUPS = (
    "let control groups be the daemon's own: run it as a systemd service with Delegate=yes, "
    "as `systemctl --user start hutch` does"
)
_FIXES: Mapping[Guarantee, str] = {
    Guarantee.MEMORY: _BY_GROUPS,
    Guarantee.CPU: _BY_GROUPS,
    Guarantee.PIDS: _BY_GROUPS,
    Guarantee.PROCESSES: "choose a method with a PID namespace, or " + _BY_GROUPS,
    Guarantee.KERNEL: "choose a method that gives a kernel of its own",
}
_OTHERWISE = "choose another method; `hutch doctor` shows what each gives here"

_known: dict[str, Probe] = {}


@dataclass(frozen=True, slots=True)
class ProbeCache:
    """Probes by key, in memory, and over restarts in `file` if there is one (the caller's, mode 0600)."""

    file: Path | None = None

    def get(self, key: str) -> Probe | None:
        if key not in _known and self.file is not None:
            with suppress(OSError, ValueError, KeyError, TypeError):  # a spoilt cache is none
                stored = json.loads(self.file.read_bytes())[_host(key)]
                _known[key] = _decode(stored)
        return _known.get(key)

    def put(self, key: str, probe: Probe) -> None:
        _known[key] = probe
        if self.file is not None:
            kept: dict[str, Any] = {}
            with suppress(OSError, ValueError):
                kept = json.loads(self.file.read_bytes())
            kept[_host(key)] = _encode(probe)
            temporary = self.file.with_name(self.file.name + ".new")
            with suppress(OSError):
                with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
                    json.dump(kept, out)
                temporary.replace(self.file)


def require(probe: Probe, needs: frozenset[Guarantee]) -> None:
    """Raise LauncherError `method_unavailable` or `guarantee_missing` unless all `needs` were shown."""
    if not probe.available:
        raise LauncherError("method_unavailable", f"{probe.method}: {probe.reason}", probe.fix)
    for guarantee in sorted(needs - probe.guarantees):
        shown = probe.evidence.get(guarantee)
        reason = shown.detail if shown else "it does not claim to"
        raise LauncherError(
            "guarantee_missing",
            f"{probe.method} cannot give '{guarantee}' on this host: {reason}",
            _FIXES.get(guarantee, _OTHERWISE),
        )


_UNABLE: Mapping[Ability, str] = {
    Ability.KEEP: "keep a sandbox for further commands",
    Ability.DOORS: "open doors to granted destinations",
    Ability.NESTED: "protect a path inside a writable folder",
    Ability.OVERLAY: "keep a folder as it is under what is written to it",
    Ability.IMAGE: "use an image",
}


def require_for(probe: Probe, spec: SandboxSpec) -> None:
    """Raise LauncherError as `require`, and `guarantee_missing` for an ability that the spec uses."""
    require(probe, spec.needs)
    for ability in sorted(spec.uses - probe.abilities):
        reason = f": {probe.unable[ability]}" if ability in probe.unable else ""
        raise LauncherError(
            "guarantee_missing", f"{probe.method} cannot {_UNABLE[ability]} on this host{reason}", _OTHERWISE
        )


def _host(key: str) -> str:
    """The key, as valid for this boot and user: a setting of the host may change over a boot."""
    boot = ""
    with suppress(OSError):
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
    return f"{boot} {os.uname().release} {os.geteuid()} {key}"


def _encode(probe: Probe) -> dict[str, Any]:
    return {
        "method": probe.method,
        "available": probe.available,
        "version": probe.version,
        "evidence": {g: [shown.held, shown.mechanism, shown.detail] for g, shown in probe.evidence.items()},
        "abilities": sorted(probe.abilities),
        "unable": probe.unable,
    }


def _decode(stored: Mapping[str, Any]) -> Probe:
    evidence = {Guarantee(g): Evidence(*shown) for g, shown in stored["evidence"].items()}
    return Probe(
        stored["method"],
        stored["available"],
        version=stored["version"],
        evidence=evidence,
        abilities=frozenset(map(Ability, stored["abilities"])),
        unable={Ability(name): reason for name, reason in stored["unable"].items()},
    )
