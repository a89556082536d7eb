"""Agents that use Hutch from inside their sandboxes: what they begin is never wider than themselves."""

import json
import re
from pathlib import Path

import pytest

from hutch.client import connect
from support.daemon import daemon, run
from support.inside_client import CALLER, ask, children, sandboxed

pytestmark = pytest.mark.slow

WIDER = {
    "a volume to write": ({"volumes": ["work:/data"]}, "volume_read_only"),
    "another volume": ({"volumes": ["other:/data:ro"]}, "volume_unknown"),
    "a new volume": ({"volumes": ["new:/data"]}, "volume_unknown"),
    "a fork": ({"volumes": ["new=work:/data"]}, "volume_unknown"),
    "a run's volume": ({"volumes": ["other@{run}:/data:ro"]}, "volume_unknown"),
    "a workspace": ({"workspace": "{folder}"}, "workspace_denied"),
    "a network": ({"network": "wide"}, "network_denied"),
    "a host": ({"network": "allow:example.org"}, "network_denied"),
    "all networks": ({"network": "learn"}, ""),
    "its parent's door": ({"network": "allow:hutch.internal:80"}, "network_denied"),
    "a method": ({"method": "pid"}, "method_unknown"),
    "an image": ({"image": "debian:12"}, "image_denied"),
    "a secret": ({"secrets": ["planted"]}, "secret_denied"),
    "a secret's value": ({"secrets": ["planted:env"]}, "secret_denied"),
    "time": ({"timeout_s": 7200}, "limit_exceeded"),
    "memory": ({"limits": {"memory_bytes": 1 << 34}}, "limit_exceeded"),
    "processes": ({"limits": {"pids": 1000}}, "limit_exceeded"),
    "processors": ({"limits": {"cpus": 60}}, "limit_exceeded"),
    "a budget": ({"limits": {"budget_usd": 5}}, "limit_exceeded"),
    "a kept sandbox": ({"session_id": "new"}, "client_denied"),
}


async def test_nothing_that_it_begins_is_wider_than_itself(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    wide = f"""
[policy]
networks = ["wide"]
network_hosts = ["example.org"]
workspaces = ["{tmp_path}/folder"]
images = ["debian:12"]
secrets = ["planted:env"]
[network.wide]
allow = ["example.org"]
[secrets.planted]
from_env = "PLANTED"
hosts = ["example.org"]
place = "bearer"
env = "PLANTED"
"""
    async with (
        daemon(tmp_path / "d", CALLER + wide, env={"PLANTED": "canary"}) as made,
        made.client() as client,
    ):
        theirs = await run(client, "echo secret > theirs", volumes=["other"])
        await run(client, "true", volumes=["work"])
        said = json.dumps([args for args, _ in WIDER.values()])
        said = said.replace("{run}", theirs.run_id).replace("{folder}", f"{tmp_path}/folder")
        answers = await ask(client, *(sandboxed("env; echo ran", **args) for args in json.loads(said)))
        for what, (_, code), answer in zip(WIDER, WIDER.values(), answers, strict=True):
            assert code in answer["text"], what
            if code:
                assert "ran" not in answer["text"].splitlines(), what
            assert "canary" not in answer["text"], what
        records = await children(client)
        assert len(records) == sum(not code for _, code in WIDER.values())
        for record in records:
            assert record.policy["granted"]["network"] == []  # type: ignore[index]


GRANTED = """
[policy]
networks = ["wide"]
[network.wide]
allow = ["example.org", "example.net"]
[secrets.planted]
from_env = "PLANTED"
hosts = ["example.org"]
place = "bearer"
env = "PLANTED"
[principals.ci]
volumes = {"team-*" = "rw"}
secrets = ["planted"]
"""


async def test_what_it_has_itself_it_may_pass_on_as_its_principal(tmp_path: Path) -> None:
    calls = [
        sandboxed("echo $PLANTED", network="wide", secrets=["planted"]),
        sandboxed("echo $PLANTED", network="allow:example.net", secrets=["planted"]),
        sandboxed("cat /data/seed", volumes=["team-a:/data:ro"]),
        sandboxed("cat /data/seed", volumes=["team-b:/data:ro"]),
    ]
    env = {"PLANTED": "planted-canary"}
    async with daemon(tmp_path / "d", CALLER + GRANTED, env=env) as made, made.client() as owner:
        token = (await owner.create_token("ci")).token
        async with connect(made.config, token=token) as client:
            for name in ("team-a", "team-b"):
                await run(client, "echo mine > seed", volumes=[name])
            granted = {"network": "wide", "secrets": ["planted"]}
            answers = await ask(client, *calls, volume="team-a", **granted)
            filled, unreachable, own, other = (each["text"] for each in answers)
            placeholder = filled.splitlines()[2]
            assert re.fullmatch(r"hutch[0-9a-f]{32}", placeholder)
            assert "canary" not in filled
            assert "secret_unreachable" in unreachable
            assert "mine" in own
            assert "volume_unknown" in other  # which its principal has, and its run has not
            begun = await children(client)
            assert {each.principal for each in begun} == {"ci"}
            assert begun[-1].policy["granted"]["network"] == ["example.org:443", "example.net:443"]  # type: ignore[index]
