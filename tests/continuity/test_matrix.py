"""Every agent, cut off in every way, goes on with its conversation. What is shown here is docs/continuity.md.

On a folder as root, and in a bucket as an ordinary user.
"""

import os
import shutil
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from hutch.client import Client
from hutch_launchers.methods.nsjail.launcher import NsjailLauncher
from hutch_mcp_tools.agent_records import AgentRequest
from hutch_mcp_tools.service import ServiceError
from support.bounds import IS_LONG
from support.ceph import S3Server
from support.continuity import (
    AGENTS,
    LONG_S,
    METHODS,
    NOT_SO,
    STORES,
    AgentAtWork,
    Hanging,
    hang,
    heard,
    journal,
    killed_and_back,
    method_config,
    prompt,
    take_turn,
    until_ended,
)
from support.contract_column import ORDINARY_USER, ROOT_USER, Who, home_of, who
from support.daemon import Daemon, daemon, scripted_model
from support.daemon_stores import s3_config
from support.needs import need

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.apart("agent", "world"),
    pytest.mark.timeout(600),
]
_OTHER_METHOD = '\n[methods.nsjail]\nkind = "nsjail"\n'
_LEASE_S = 3  # of a host that is lost
_MACHINE = (
    "unshare",
    "--pid",
    "--fork",
    "--mount-proc",
    "--kill-child=KILL",
)  # all of it dies with the first


@dataclass
class World:
    """An agent on a host with a store that other hosts may use, and a model that remembers what it heard."""

    agent: AgentAtWork
    user: Who
    folder: Path
    config: str
    log: Path
    method: str

    async def hang(self, client: Client, mark: str) -> Hanging:
        return await hang(client, self.agent.name, mark, "work", is_seen=self.method != "gvisor")

    def kill_sandbox(self, hanging: Hanging) -> None:
        os.kill(hanging.sandbox(self.method), signal.SIGKILL)

    @asynccontextmanager
    async def host(self, name: str = "one", starter: tuple[str, ...] = ()) -> AsyncGenerator[Daemon]:
        folder = self.folder / name
        folder.mkdir()
        os.chown(folder, self.user.uid, self.user.uid)
        env = {**(self.user.env if self.user.prefix else {}), **self.agent.env}
        python = self.user.python if self.user.prefix else ()
        async with daemon(
            folder, self.config, env=env, python=() if starter else python, starter=starter
        ) as made:
            yield made

    def starter(self) -> tuple[str, ...]:
        """The words that start a host which can be lost whole."""
        return (*_MACHINE, *(self.user.python if self.user.prefix else (sys.executable,)))

    def heard(self) -> set[str]:
        return heard(self.log)


@pytest.fixture(params=[agent.name for agent in AGENTS])
def agent(request: pytest.FixtureRequest) -> AgentAtWork:
    return next(agent for agent in AGENTS if agent.name == request.param)


@pytest.fixture(params=[*STORES, *(METHODS if IS_LONG else ())])
async def world(request: pytest.FixtureRequest, agent: AgentAtWork, tmp_path: Path) -> AsyncGenerator[World]:
    (cut,) = request.node.get_closest_marker("cut").args
    if (request.param, cut) in NOT_SO:
        pytest.skip(NOT_SO[request.param, cut])
    is_bucket, method = request.param == "bucket", "bubblewrap"
    user = who(ORDINARY_USER if is_bucket or os.geteuid() else ROOT_USER)
    log = tmp_path / "model.log"
    with home_of(user) as home:
        if is_bucket:
            server: S3Server = request.getfixturevalue("s3_server")
            store = s3_config(server, home)
            os.chown(home / "keys", user.uid, user.uid)
        else:
            store = f'\n[storage]\nurl = "file://{home}/store"\n'
        async with scripted_model(log) as url:
            config = f"{store}lease_s = {_LEASE_S}\n{agent.config(url)}{_OTHER_METHOD}"
            if request.param in METHODS:
                method = request.param
                config += method_config(method)
            yield World(agent, user, home, config, log, method)


@pytest.mark.cut("a second turn")
async def test_a_second_turn_goes_on(world: World) -> None:
    async with world.host() as made, made.client() as client:
        first = await take_turn(client, world.agent.name, "MARK-one", "work")
        second = await take_turn(client, world.agent.name, "MARK-two", "work")
        assert second.session_id == first.session_id
        assert second.agent_session_id == first.agent_session_id
        assert world.heard() == {"MARK-one", "MARK-two"}


@pytest.mark.cut("kill -9 of the agent")
async def test_after_a_kill_of_the_agent(world: World) -> None:
    async with world.host() as made, made.client() as client:
        first = await take_turn(client, world.agent.name, "MARK-one", "work")
        hanging = await world.hang(client, "MARK-two")
        os.kill(hanging.agent(world.agent.programs), signal.SIGKILL)
        await until_ended(client, hanging.session)
        await _goes_on(world, client, first.agent_session_id)


@pytest.mark.cut("kill -9 of the sandbox")
async def test_after_a_kill_of_the_sandbox(world: World) -> None:
    async with world.host() as made, made.client() as client:
        first = await take_turn(client, world.agent.name, "MARK-one", "work")
        hanging = await world.hang(client, "MARK-two")
        world.kill_sandbox(hanging)
        await until_ended(client, hanging.session)
        await _goes_on(world, client, first.agent_session_id)


@pytest.mark.cut("kill -9 of the daemon")
async def test_after_a_kill_of_the_daemon(world: World) -> None:
    async with world.host() as made:
        async with made.client() as client:
            first = await take_turn(client, world.agent.name, "MARK-one", "work")
            hanging = await world.hang(client, "MARK-two")
        async with killed_and_back(made) as client:
            await client.stop_session(hanging.session.session_id)
            await _goes_on(world, client, first.agent_session_id)


@pytest.mark.cut("kill -9 of the process that takes the turn")
async def test_after_a_kill_of_the_runner(world: World) -> None:
    async with world.host() as made, made.client() as client:
        first = await take_turn(client, world.agent.name, "MARK-one", "work")
        hanging = await world.hang(client, "MARK-two")
        await made.kill_runners()
        await until_ended(client, hanging.session)
        await _goes_on(world, client, first.agent_session_id)


@pytest.mark.cut("kill -9 of all of Hutch")
async def test_after_a_kill_of_all_that_is_ours(world: World) -> None:
    async with world.host() as made:
        async with made.client() as client:
            first = await take_turn(client, world.agent.name, "MARK-one", "work")
            hanging = await world.hang(client, "MARK-two")
        await made.lose()
        await made.start()
        async with made.client() as client:
            await until_ended(client, hanging.session)
            await _goes_on(world, client, first.agent_session_id)


@pytest.mark.cut("kill -9 in the very first turn")
async def test_after_a_kill_before_anything_was_whole(world: World) -> None:
    async with world.host() as made, made.client() as client:
        hanging = await world.hang(client, "MARK-two")
        world.kill_sandbox(hanging)
        await until_ended(client, hanging.session)
        await take_turn(client, world.agent.name, "MARK-three", "work")
        assert world.heard() == {"MARK-two", "MARK-three"}
        assert await journal(client) == ["MARK-two", "MARK-three"]


@pytest.mark.cut("the host is lost")
@pytest.mark.skipif(os.geteuid() != 0, reason="processes of their own for a host take root")
async def test_after_the_loss_of_a_host(world: World) -> None:
    async with world.host("lost", world.starter()) as lost, world.host("heir") as heir:
        async with lost.client() as client:
            first = await take_turn(client, world.agent.name, "MARK-one", "work")
            await world.hang(client, "MARK-two")
            async with heir.client() as there:
                with anyio.fail_after(LONG_S):  # what it did last is in the store
                    while await journal(there) != ["MARK-one", "MARK-two"]:
                        await anyio.sleep(0.05)
        await _lose(lost)
        async with heir.client() as client:
            await _goes_on(world, client, first.agent_session_id, volume_wait_s=LONG_S)


@pytest.mark.cut("another method")
async def test_under_another_method(world: World) -> None:
    probe = await NsjailLauncher().probe()
    need("nsjail", probe.available, "nsjail", "scripts/setup methods")
    async with world.host() as made, made.client() as client:
        first = await take_turn(client, world.agent.name, "MARK-one", "work")
        other = "bubblewrap" if world.method == "nsjail" else "nsjail"
        second = await take_turn(client, world.agent.name, "MARK-two", "work", method=other)
        assert second.agent_session_id == first.agent_session_id
        assert world.heard() == {"MARK-one", "MARK-two"}


@pytest.mark.cut("an earlier snapshot")
async def test_from_an_earlier_snapshot(world: World) -> None:
    async with world.host() as made, made.client() as client:
        first = await take_turn(client, world.agent.name, "MARK-one", "work")
        newest = (await client.volume_log("work", 1))[0].snapshot
        await take_turn(client, world.agent.name, "MARK-two", "work")
        await client.restore_volume("work", str(newest))
        third = await take_turn(client, world.agent.name, "MARK-three", "work")
        assert third.agent_session_id == first.agent_session_id
        assert world.heard() == {"MARK-one", "MARK-three"}
        assert await journal(client) == ["MARK-one", "MARK-three"]


@pytest.mark.cut("forks")
async def test_forks_go_their_own_ways(world: World) -> None:
    async with world.host() as made, made.client() as client:
        await take_turn(client, world.agent.name, "MARK-one", "work")
        for name in ("left", "right"):
            await take_turn(client, world.agent.name, f"MARK-{name}", f"{name}=work")
            assert world.heard() == {"MARK-one", f"MARK-{name}"}
        await take_turn(client, world.agent.name, "MARK-two", "work")
        assert world.heard() == {"MARK-one", "MARK-two"}
        await take_turn(client, world.agent.name, "MARK-again", "left")
        assert world.heard() == {"MARK-one", "MARK-left", "MARK-again"}
        assert await journal(client) == ["MARK-one", "MARK-two"]


@pytest.mark.cut("one writer")
async def test_never_two_writers_of_one_conversation(world: World) -> None:
    async with world.host() as made, world.host("other") as other, made.client() as client:
        hanging = await world.hang(client, "MARK-one")
        more = AgentRequest(agent=world.agent.name, prompt=prompt("MARK-two"), volume="work")
        with pytest.raises(ServiceError) as busy:
            await client.send_to_agent(hanging.session.session_id, prompt("MARK-two"))
        assert busy.value.code == "session_busy"
        async with other.client() as elsewhere:
            with pytest.raises(ServiceError) as held:
                await elsewhere.start_agent(more, 20)
            assert held.value.code == "volume_held"
        await client.stop_session(hanging.session.session_id)
        await take_turn(client, world.agent.name, "MARK-three", "work")
        assert world.heard() == {"MARK-one", "MARK-three"}


async def _lose(host: Daemon) -> None:
    """All its processes at once, with the first of them, then everything that it had on its disk."""
    assert host.process is not None
    (first,) = Path(f"/proc/{host.process.pid}/task/{host.process.pid}/children").read_text().split()
    os.kill(int(first), signal.SIGKILL)
    await host.end(signal.SIGKILL)
    for name in ("cache", "state"):
        shutil.rmtree(host.folder / name)


async def _goes_on(world: World, client: Client, conversation: str | None, **values: object) -> None:
    """A third turn knows of the first and of the one that was cut off."""
    third = await take_turn(client, world.agent.name, "MARK-three", "work", **values)
    assert third.agent_session_id == conversation
    assert world.heard() == {"MARK-one", "MARK-two", "MARK-three"}
    assert await journal(client) == ["MARK-one", "MARK-two", "MARK-three"]
    assert (await client.check_volume("work")).problems == []
