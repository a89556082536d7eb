"""No turn begins while its attempt is being kept: it would write into a fork that is to be discarded."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hutch.access import Principals
from hutch.config import OWNER, parse
from hutch.errors import HutchError
from hutch.runs.gate.clients import Clients
from hutch.runs.groups.keeping import Keeping
from hutch.runs.rooms import Rooms
from hutch.runs.runs import Runs
from hutch.runs.turns.agent_sessions import AgentSessions
from hutch.runs.turns.turns_at_work import Turns
from hutch.state import Attempt, Group, Session, Turn
from hutch.state.store import open_state
from hutch.volumes import VolumeName
from hutch_mcp_tools.agent_records import AgentRequest
from support.configured import ENV

ATTEMPT = Attempt("g-abc", 1, "web-abc-1", "s-1")
REQUEST = AgentRequest(agent="claude", prompt="Go on.")
ADA = '[principals.ada]\nvolumes = {"web" = "rw", "web-new" = "rw"}\n'


async def no_shares(_: str) -> Mapping[str, str]:
    return {}


def session(principal: str = OWNER) -> Session:
    return Session(
        "s-1", "agent", "idle", "none", 1, 1, agent="claude", volume="web-abc-1", principal=principal
    )


class Volumes:
    """Two volumes, and a turn that is asked for while one is forked."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.refused = ""

    async def fork(self, *_: VolumeName) -> None:
        turn = Turn("s-1", ("r-1",), REQUEST.model_dump(mode="json"), 1.0)
        try:
            await self.turns.begin(session(), REQUEST, turn)
        except HutchError as error:
            self.refused = error.code

    async def info(self, _: VolumeName) -> object:
        return SimpleNamespace(snapshot=1)


async def kept(tmp_path: Path, principal: str) -> tuple[Volumes, Session | None]:
    async with open_state(tmp_path / "state.db") as state:
        await state.put_group(Group("g-abc", principal, "claude", "p", "web", 1, None, 1.0))
        await state.put_session(session(principal))
        await state.put_attempt(ATTEMPT)
        rooms: Any = SimpleNamespace(
            state=state, access=Principals(parse(ADA, ENV), no_shares), volume=VolumeName.parse
        )
        runs = SimpleNamespace(rooms=rooms, refuse_closing=lambda: None, turns_at_work=dict, has_room=bool)
        turns = Turns(cast("Runs", runs), cast("Clients", SimpleNamespace()), None)
        rooms.volumes = volumes = Volumes(turns)
        agents = cast("AgentSessions", SimpleNamespace(turns=turns))
        await Keeping(cast("Rooms", rooms), agents).keep("s-1", "web-new", principal)
        with turns.held_idle("s-1"):  # it may begin again
            return volumes, await state.session("s-1")


async def test_no_turn_begins_while_its_attempt_is_kept(tmp_path: Path) -> None:
    volumes, found = await kept(tmp_path, OWNER)
    assert volumes.refused == "session_busy"
    assert found is not None
    assert found.volume == "web-new"


async def test_what_may_not_be_read_any_more_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(HutchError) as refused:
        await kept(tmp_path, "ada")
    assert "web-abc-1" in refused.value.message
