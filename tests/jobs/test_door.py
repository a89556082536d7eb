"""The door of a sandbox to the daemon, as it lies beside its job for the next daemon."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from hutch.budgets import ASKED, Accounts, Limit
from hutch.config import parse
from hutch.egress import Missing, Rule, union
from hutch.errors import HutchError
from hutch.jobs import Granted, Job, JobDoor, JobFolder
from hutch.policy import GrantedSecret, Plan, Wish
from hutch.runs.path.live import LiveRun
from hutch.runs.path.log import RunLog
from hutch.runs.rooms import Rooms
from hutch.runs.runners.following import Following
from hutch.state import Run
from hutch.state.store import open_state
from hutch_mcp_tools.network_records import NetworkChange
from hutch_mcp_tools.run_records import RunRequest
from hutch_mcp_tools.usage_records import Budget
from support.budget_house import PRICES
from support.plans import plan_for

CONFIG = parse(
    """
[policy]
readable = ["/opt/tools"]
[network.wide]
allow = ["api.example.org", "*.files.example.org", "other.example.org"]
deny = ["no.files.example.org"]
max_bytes = {"*.files.example.org" = "1KiB"}
[network.wide.http]
"api.example.org" = [{methods = ["GET"], paths = ["/v1/*"]}]
[secrets.one]
from_env = "ONE"
hosts = ["api.example.org"]
place = "bearer"
""",
    {"HOME": "/home/someone"},
)


def plan() -> Plan:
    decided = plan_for(Wish(command="x", volumes=("work:/data",)), CONFIG)
    return replace(
        decided,
        network=union(["wide"], CONFIG.networks),
        secrets=(GrantedSecret("one", CONFIG.secrets["one"]),),
        budgets=(Limit(ASKED, "run", requests=3), Limit("daily", "day", requests=9)),
        children=4,
    )


def followed(rooms: object, folder: JobFolder, door: JobDoor | None) -> Following:
    record = Run(id="r-1", status="running", command="x", method="none", created_at=1.0)
    live = LiveRun(record, RunLog(folder.path / "log", 1 << 20))
    granted = Granted(wall_s=1, budgets=plan().budgets)
    job = Job(version=1, id="r-1", run=RunRequest(command="x"), granted=granted)
    return Following(cast("Rooms", rooms), live, folder, job, door)


def test_it_is_read_as_it_was_written_by_its_owner_alone(tmp_path: Path) -> None:
    folder, door = JobFolder(tmp_path / "r-1"), JobDoor("canary", plan())
    assert (JobDoor.read(folder), JobDoor.token_of(folder)) == (None, "")
    door.write(folder)
    assert JobDoor.read(folder) == door
    assert JobDoor.token_of(folder) == "canary"
    assert (folder.path / "door").stat().st_mode & 0o777 == 0o600
    assert "canary" not in repr(door)
    (folder.path / "door").write_text('{"canary": "token", "plan": {"method": "none"}}')
    with pytest.raises(HutchError) as refused:
        JobDoor.read(folder)
    assert refused.value.code == "job_invalid"


async def test_what_its_owner_changes_holds_for_the_next_daemon(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "r-1")
    JobDoor("canary", plan()).write(folder)
    async with open_state(tmp_path / "state.db") as state:
        rooms = SimpleNamespace(state=state, accounts=Accounts(state, PRICES), prices=PRICES)
        following = followed(rooms, folder, JobDoor.read(folder))
        await following._shared.look()
        reached = following.live.network
        assert isinstance(reached.judge("api.example.org", 443), Rule)
        # Of these the runner counts the bytes, and nobody could count what others pass beside it
        assert isinstance(reached.judge("a.files.example.org", 443), Missing)
        await following.give(Budget(budget_requests=5))
        await following._change_door(NetworkChange(host="api.example.org", allowed=False))
        await following._change_door(NetworkChange(host="new.example.org", allowed=True))
        for each in (following, followed(rooms, folder, JobDoor.read(folder))):
            assert isinstance(each.live.network.judge("api.example.org", 443), Missing)
            assert isinstance(each.live.network.judge("new.example.org", 443), Rule)
            assert [limit.requests for limit in each._shared.purse.limits] == [5, 9]
        # Where nobody knows what it may begin, its budget is judged here all the same: its runner does not
        unknown = followed(rooms, folder, None)
        assert [limit.name for limit in unknown._shared.purse.limits] == [ASKED, "daily"]
