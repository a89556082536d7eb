"""Any order of all that can be done with volumes agrees with a model made of dicts."""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule

from hutch.errors import HutchError
from hutch.volumes import RetentionRules, VolumeName
from support.bounds import limit_s, times
from support.volume_engine import WEB, tree_of
from support.volume_machine import CONTENT, NAMES, VolumesModel, only_files
from support.volume_model import Files

LABELS = st.sampled_from(["one", "two", "three"])
DAY_S = 86_400


class HistoryModel(VolumesModel):
    """What is done with snapshots, by a third host that holds nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.forks: dict[VolumeName, Files] = {}
        self.fork_points: dict[VolumeName, int] = {}
        self.fork_count = 0

    def ask(self, call: Any, *args: Any, **named: Any) -> Any:  # noqa: ANN401
        """An error that users may see is an answer."""

        async def asked() -> object:
            try:
                return await call(*args, **named)
            except HutchError as error:
                return error

        return self.portal.call(asked)

    def draw(self, data: st.DataObject) -> int:
        """A snapshot that there is."""
        return data.draw(st.sampled_from(sorted(self.history)))

    @precondition(lambda self: self.history)
    @rule(data=st.data(), label=LABELS)
    def tag(self, data: st.DataObject, label: str) -> None:
        number = self.draw(data)
        result = self.ask(self.reader.tag, WEB, label, number)
        if isinstance(result, HutchError):
            assert result.code == "tag_exists"
            assert self.tags[label] != number
        else:
            assert self.tags.setdefault(label, number) == number

    @rule(label=LABELS)
    def untag(self, label: str) -> None:
        result = self.ask(self.reader.untag, WEB, label)
        if label in self.tags:
            assert result is None
            del self.tags[label]
        else:
            assert result.code in ("tag_unknown", "volume_unknown")

    @precondition(lambda self: self.history)
    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        number = self.draw(data)
        self.fork_count += 1
        name = VolumeName.parse(f"fork-{self.fork_count}")
        self.portal.call(self.fork_off, name, number)
        self.forks[name], self.fork_points[name] = self.history[number], number

    async def fork_off(self, name: VolumeName, number: int) -> None:
        await self.reader.fork(WEB, name, at=number)

    @precondition(lambda self: self.forks)
    @rule(data=st.data(), path=NAMES, content=CONTENT)
    def write_to_a_fork(self, data: st.DataObject, path: str, content: bytes) -> None:
        name = data.draw(st.sampled_from(sorted(self.forks)))
        result = self.ask(self.reader.write, name, path, content, mode="overwrite")
        assert not isinstance(result, HutchError)
        self.forks[name] = self.forks[name] | {path: content}

    @precondition(lambda self: self.forks)
    @rule(data=st.data())
    def remove_a_fork(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.forks)))
        assert self.ask(self.reader.remove, name) is None
        if data.draw(st.booleans()):
            assert not isinstance(self.ask(self.reader.bring_back, name), HutchError)
            return
        del self.forks[name], self.fork_points[name]
        self.clock.move(8 * DAY_S)
        assert self.ask(self.reader.gc, name).volumes == 1

    @precondition(lambda self: self.history)
    @rule(data=st.data())
    def go_back(self, data: st.DataObject) -> None:
        number = self.draw(data)
        result = self.ask(self.reader.restore, WEB, number)
        if isinstance(result, HutchError):
            assert result.code == "volume_held"
            return
        self.note_new_snapshots(dict(self.history[number]))
        assert only_files(self.portal.call(tree_of, self.reader)) == self.history[number]

    @precondition(lambda self: self.history)
    @rule()
    def remove_and_bring_back(self) -> None:
        if isinstance(self.ask(self.reader.remove, WEB), HutchError):
            return
        assert WEB.name not in [info.name for info in self.ask(self.reader.list)]
        assert not isinstance(self.ask(self.reader.bring_back, WEB), HutchError)
        self.note_new_snapshots(only_files(self.portal.call(tree_of, self.reader)))

    @precondition(lambda self: self.history)
    @rule(keep_last=st.sampled_from([0, 1, 3]))
    def thin(self, keep_last: int) -> None:
        rules = RetentionRules(keep_all_s=0, keep_last=keep_last, hourly=0, daily=0, weekly=0, monthly=0)
        told = self.ask(self.reader.thin, WEB, rules)
        assert not isinstance(told, HutchError)
        protected = {*self.tags.values(), *self.fork_points.values(), max(self.history)}
        assert not protected & set(told.dropped)
        for number in told.dropped:
            gone = self.history.pop(number)
            # It had been saved, and was let go since.
            self.must_be_kept = [files for files in self.must_be_kept if files != gone]

    @rule(days=st.sampled_from([0, 2, 9]))
    def collect(self, days: int) -> None:
        self.clock.move(days * DAY_S)
        result = self.ask(self.reader.gc, WEB)
        assert not isinstance(result, HutchError) or result.code == "volume_unknown"

    @invariant()
    def the_log_and_the_forks_are_what_the_model_says(self) -> None:
        if self.history:
            log = [each.number for each in self.ask(self.reader.log, WEB, 1000)]
            assert sorted(log) == sorted(self.history)
        for name, files in self.forks.items():
            assert only_files(self.portal.call(tree_of, self.reader, None, name)) == files


def bounded(examples: int) -> settings:
    return settings(
        max_examples=times(examples, long=20 * examples),
        stateful_step_count=30,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


TestVolumesModel = pytest.mark.timeout(limit_s(300, long=3600))(VolumesModel.TestCase)
TestVolumesModel.settings = bounded(20)
TestHistoryModel = pytest.mark.timeout(limit_s(300, long=3600))(HistoryModel.TestCase)
TestHistoryModel.settings = bounded(30)
