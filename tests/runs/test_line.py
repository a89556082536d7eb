"""The queue of agents' turns: its order, what is granted, who leaves it."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import anyio
from hypothesis import given
from hypothesis import strategies as st

from hutch.runs.path.live import LiveRun
from hutch.runs.path.log import RunLog
from hutch.runs.turns.line import Line, Waiting, in_order
from hutch.state import Run


def test_room_goes_to_who_has_the_fewest_at_work_and_then_in_turns() -> None:
    many = [Waiting(f"a{n}", "ada", n) for n in range(4)]
    few = [Waiting("b0", "bob", 10), Waiting("b1", "bob", 11)]
    assert [t.run_id for t in in_order([*many, *few], {}, {})] == ["a0", "b0", "a1", "b1", "a2", "a3"]
    assert [t.run_id for t in in_order([*many, *few], {"ada": 2}, {})][:3] == ["b0", "b1", "a0"]
    assert [t.run_id for t in in_order([*many, *few], {}, {"ada": 7, "bob": 3})][:2] == ["b0", "a0"]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5)), max_size=12),
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 5)),
)
def test_nobody_is_left_out_and_nobody_gets_two_ahead(
    asked: list[tuple[str, int]], at_work: dict[str, int]
) -> None:
    waiting = [Waiting(str(n), who, at) for n, (who, at) in enumerate(asked)]
    line = in_order(waiting, at_work, {})
    assert sorted(line, key=lambda turn: turn.run_id) == sorted(waiting, key=lambda turn: turn.run_id)
    busy, left = Counter(at_work), Counter(turn.principal for turn in line)
    for turn in line:
        assert busy[turn.principal] == min(busy[who] for who in left if left[who])
        busy[turn.principal] += 1
        left[turn.principal] -= 1
    for who in "abc":  # of one principal, the oldest first
        own = [turn.asked_at for turn in line if turn.principal == who]
        assert own == sorted(own)


class House:
    """A line of room for two, one of each principal's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lives: list[LiveRun] = []
        self.line = Line(self.at_work, self.has_room)

    def at_work(self) -> Counter[str]:
        return Counter(live.record.principal for live in self.lives if live.record.status == "starting")

    def has_room(self, principal: str) -> bool:
        return self.at_work().total() < 2 and self.at_work()[principal] < 1

    def ask(self, run_id: str, principal: str) -> LiveRun:
        run = Run(run_id, "queued", "claude: go", "bubblewrap", 0, principal=principal)
        self.lives.append(LiveRun(run, RunLog(self.folder / run_id, 1000)))
        self.line.join(self.lives[-1], len(self.lives))
        return self.lives[-1]

    def end(self, live: LiveRun) -> None:
        live.record = replace(live.record, status="exited")
        self.line.look()


async def test_who_is_at_his_own_bound_holds_up_nobody(tmp_path: Path) -> None:
    house = House(tmp_path)
    first, second, other = house.ask("a1", "ada"), house.ask("a2", "ada"), house.ask("b1", "bob")
    third = house.ask("b2", "bob")
    states = [live.record.status for live in (first, second, other, third)]
    assert states == ["starting", "queued", "starting", "queued"]
    assert [second.place, third.place] == [1, 2]
    assert third.note == "in the queue, at place 2"
    house.end(other)
    assert (third.record.status, second.record.status, second.place) == ("starting", "queued", 1)


async def test_who_is_stopped_leaves_the_line_and_others_move_up(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.ask("a1", "ada")
    second, third = house.ask("a2", "ada"), house.ask("a3", "ada")
    async with anyio.create_task_group() as tasks:
        begun: list[bool] = []

        async def wait() -> None:
            begun.append(await house.line.until_first(second))

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        second.stop.ask("no more", 0)
    assert begun == [False]
    assert third.place == 1
