"""The token of an agent that may use Hutch: of one run, and gone with it."""

import os
import time
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from hutch.access.rights import OWNERS_RIGHTS
from hutch.app import open_rooms
from hutch.config import load
from hutch.errors import HutchError
from hutch.policy import Plan, Wish, decide
from hutch.runs.gate import clients as gate
from hutch.runs.gate.clients import Client, Clients
from hutch.runs.path.live import LiveRun
from hutch.runs.rooms import Rooms, new_id
from hutch.runs.runs import Runs, first_record
from hutch_mcp_tools.run_records import RunRequest
from support.daemon import BASE, give_probes
from support.streams import LONG_S


def plan_of(rooms: Rooms, children: int) -> Plan:
    plan = decide(Wish(command="id"), rooms.config, OWNERS_RIGHTS, shell="/bin/sh", networks=())
    return replace(plan, children=children)


def begun(runs: Runs, plan: Plan) -> LiveRun:
    return runs.enlist(first_record(new_id("r"), plan, "id", "owner", None))


@pytest.mark.real("bubblewrap")
async def test_what_is_kept_of_its_runs_is_bounded_for_all_of_them_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "_MOST_KEPT", 1)
    (tmp_path / "config.toml").write_text(BASE.format(folder=tmp_path) + 'log_max_bytes = "64KiB"\n')
    give_probes(tmp_path / "cache/probes", os.geteuid())
    config = load(tmp_path / "config.toml", {"HOME": str(tmp_path)})
    async with open_rooms(config) as rooms, anyio.create_task_group() as tasks:
        runs = Runs(rooms, tasks)
        live = begun(runs, plan_of(rooms, 4))
        live.wall_s, live.began_at = 1000, time.monotonic()
        client = Client(runs, live, plan_of(rooms, 4))
        request = RunRequest(command="head -c 100000 /dev/zero")
        with anyio.fail_after(60):
            child = await client.begin(request)
            while client._kept_bytes == 0:
                await child.ended.wait()
                await anyio.sleep(0.01)
        with pytest.raises(HutchError, match="no more is kept") as refused:
            await client.begin(request)
        assert refused.value.code == "client_denied"
        runs.discharge(live)


async def test_a_token_is_one_runs_and_dies_with_it(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(BASE.format(folder=tmp_path))
    config = load(tmp_path / "config.toml", {"HOME": str(tmp_path)})
    async with open_rooms(config) as rooms, anyio.create_task_group() as tasks:
        runs, gone = Runs(rooms, tasks), list[str]()
        clients = Clients(runs)
        clients.whole, clients.on_end = {"owner": object()}, gone.append  # type: ignore[dict-item]
        one, other, none = (begun(runs, plan_of(rooms, 0)) for _ in range(3))
        async with clients.during(none, plan_of(rooms, 0)):
            assert none.door_token == ""
            assert clients.caller_of("") is None
        async with clients.during(one, plan_of(rooms, 4)):
            async with clients.during(other, plan_of(rooms, 4)):
                assert len({one.door_token, other.door_token}) == 2
                assert clients.caller_of(one.door_token) == f"run {one.id}"
                assert clients.caller_of(other.door_token) == f"run {other.id}"
                assert clients.caller_of(one.door_token[:-1]) is None
                assert sorted(clients.services) == sorted((f"run {one.id}", f"run {other.id}"))
                assert one.door_token not in repr(vars(clients)) + repr(one)
            assert clients.caller_of(other.door_token) is None
            one.stop.ask("stopped on request", 0)
            with anyio.fail_after(LONG_S):
                while clients.caller_of(one.door_token) is not None:
                    await anyio.sleep(0.01)
        assert clients.services == {}
        assert gone == [f"run {other.id}", f"run {one.id}"]
        for live in (one, other, none):
            runs.discharge(live)
