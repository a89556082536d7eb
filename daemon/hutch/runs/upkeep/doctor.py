"""What works here and what does not: methods by their probes, storage, agents."""

from dataclasses import asdict
from typing import Any

import anyio

from hutch.errors import HutchError
from hutch.runs.planning.credentials import keyless
from hutch.runs.rooms import Rooms
from hutch.volumes import examine_store
from hutch_launchers.launcher import Launcher, Probe


async def examine(rooms: Rooms, *, fresh: bool = False) -> dict[str, Any]:
    """Return a document for programs; `fresh` measures every method again instead of using what is known."""
    probes: dict[str, Probe] = {}

    async def probe(name: str, launcher: Launcher) -> None:
        probes[name] = await launcher.probe(fresh=fresh)

    async with anyio.create_task_group() as group:
        for name, launcher in rooms.launchers.items():
            group.start_soon(probe, name, launcher)
    return {
        "methods": [_method(rooms, probes[name]) for name in rooms.launchers],
        "storage": await _storage(rooms, fresh=fresh),
        "cache": await _cache(rooms),
        "agents": [_agent(rooms, name) for name in rooms.agents],
    }


def _method(rooms: Rooms, probe: Probe) -> dict[str, Any]:
    missing = sorted(rooms.config.policy.needs - probe.guarantees)
    return {
        "name": probe.method,
        "available": probe.available,
        "usable": probe.available and not missing,
        "version": probe.version,
        "reason": probe.reason,
        "fix": probe.fix,
        "missing": missing,
        "guarantees": {
            str(name): {"held": shown.held, "mechanism": shown.mechanism, "detail": shown.detail}
            for name, shown in probe.evidence.items()
        },
        "abilities": sorted(probe.abilities),
        "unable": dict(probe.unable),
    }


async def _storage(rooms: Rooms, *, fresh: bool) -> dict[str, Any]:
    checks = await examine_store(rooms.store, fresh=fresh)
    failed = next((check for check in checks if not check.works), None)
    document = {
        "url": rooms.config.storage.url,
        "works": failed is None,
        "reason": failed.detail if failed else "",
        "fix": failed.fix if failed else "",
        "checks": [asdict(check) for check in checks],
    }
    if failed is None:
        document["volumes"] = len(await rooms.volumes.list())
    return document


async def _cache(rooms: Rooms) -> dict[str, Any]:
    use = await rooms.volumes.cache_use()
    reason = "its disk is full" if use.is_full else ""
    return {**asdict(use), "works": not use.is_full, "reason": reason}


def _agent(rooms: Rooms, name: str) -> dict[str, Any]:
    try:
        agent = rooms.agents[name]()
    except HutchError as error:
        return {"name": name, "works": False, "reason": error.message, "fix": error.hint}
    lacks = keyless(rooms.config, name, agent)
    if lacks:  # a volume may hold a login of its own all the same
        return {"name": name, "works": False, "reason": lacks.message, "fix": lacks.hint}
    return {"name": name, "works": True, "reason": "", "fix": ""}
