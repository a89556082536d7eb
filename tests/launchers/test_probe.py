"""What the canaries show."""

import os
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from hutch_launchers import probed
from hutch_launchers.ability_trials import Trials
from hutch_launchers.front import put_in_place
from hutch_launchers.hierarchy import find_hierarchy
from hutch_launchers.launcher import Evidence, KeptSandbox, LauncherError, Probe, SandboxProcess
from hutch_launchers.methods.bubblewrap.launcher import BubblewrapLauncher
from hutch_launchers.methods.wrapper import WrapperLauncher
from hutch_launchers.prelude import command_prelude
from hutch_launchers.probed import require, require_for
from hutch_launchers.registry import OptionError, build_launcher
from hutch_launchers.spec import Ability, Guarantee, Mount, SandboxSpec
from support.launcher_leftovers import no_new_fds
from support.launcher_methods import LAUNCHERS, WRAPPED_BWRAP, code, run, sh, spec

ISOLATION = {Guarantee.FILESYSTEM, Guarantee.NETWORK, Guarantee.PROCESSES, Guarantee.SYSCALLS, Guarantee.DISK}
BY_GROUPS = {Guarantee.MEMORY, Guarantee.PIDS, Guarantee.CPU}


async def test_bubblewrap_shows_all_that_it_can_give() -> None:
    probe = await LAUNCHERS["bubblewrap"].probe(fresh=True)
    missing = {guarantee: shown.detail for guarantee, shown in probe.evidence.items() if not shown.held}
    assert probe.available
    assert missing.pop(Guarantee.KERNEL).startswith(f"the host's kernel answers: {os.uname().release}")
    assert missing == {}
    assert probe.guarantees == ISOLATION | BY_GROUPS
    assert all(shown.mechanism and shown.detail for shown in probe.evidence.values() if shown.held)
    if hierarchy := find_hierarchy():
        assert probe.evidence[Guarantee.MEMORY].mechanism == f"cgroup v{hierarchy.version}"


async def test_a_wrapper_that_does_nothing_shows_nothing() -> None:
    probe = await LAUNCHERS["wrapper"].probe(fresh=True)
    assert (probe.available, probe.guarantees) == (True, frozenset())
    assert all(shown.detail for shown in probe.evidence.values())


async def test_a_wrapper_that_isolates_shows_what_it_isolates() -> None:
    probe = await LAUNCHERS["wrapper-bwrap"].probe(fresh=True)
    assert probe.available
    assert {Guarantee.NETWORK, Guarantee.PROCESSES} <= probe.guarantees
    assert not {Guarantee.SYSCALLS, Guarantee.DISK} & probe.guarantees


async def test_a_wrapper_s_leak_is_named() -> None:
    leaky = WrapperLauncher((*WRAPPED_BWRAP[:-2], "--bind", "/tmp", "/tmp", "--share-net", "--", "{command}"))
    probe = await leaky.probe(fresh=True)
    assert not {Guarantee.FILESYSTEM, Guarantee.NETWORK} & probe.guarantees
    assert "for writing" in probe.evidence[Guarantee.FILESYSTEM].detail
    assert "127.0.0.1" in probe.evidence[Guarantee.NETWORK].detail


async def test_a_probe_leaves_nothing_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="hutch-") as folder:  # short: the path of a socket is in it
        await _leaves_nothing(Path(folder), monkeypatch)


async def _leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # other probes may be at work in the usual one
    with no_new_fds():
        probe = await LAUNCHERS["wrapper"].probe(fresh=True)
    assert str(tmp_path) in probe.evidence[Guarantee.FILESYSTEM].detail
    assert list(tmp_path.iterdir()) == []


async def test_a_method_that_is_not_there_says_why_and_what_mends_it() -> None:
    absent = BubblewrapLauncher(bwrap=Path("/no/bwrap"))
    probe = await absent.probe()
    assert (probe.available, probe.reason) == (False, "/no/bwrap: No such file or directory")
    assert "bubblewrap" in probe.fix
    with pytest.raises(LauncherError) as refused:
        await run(absent, spec(sh(":"), needs=frozenset({Guarantee.FILESYSTEM})))
    assert refused.value.code == "method_unavailable"
    nowhere = await WrapperLauncher(("no-such-program", "{command}")).probe()
    assert (nowhere.available, nowhere.reason) == (False, "the program 'no-such-program' is not installed")


async def test_a_probe_is_remembered_in_a_file_and_a_spoilt_file_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probed, "_known", {})  # by what other tests measured
    launcher = BubblewrapLauncher(probe_cache=tmp_path / "probes.json")
    first = await launcher.probe()
    monkeypatch.setattr(probed, "_known", {})
    assert await launcher.probe() == first
    assert (tmp_path / "probes.json").stat().st_mode & 0o777 == 0o600
    (tmp_path / "probes.json").write_text("{")
    monkeypatch.setattr(probed, "_known", {})
    assert (await launcher.probe()).guarantees == first.guarantees


def test_a_missing_guarantee_names_itself_its_reason_and_the_fix() -> None:
    probe = Probe("m", available=True, evidence={Guarantee.MEMORY: Evidence(False, "", "nothing holds it")})
    with pytest.raises(LauncherError) as refused:
        require(probe, frozenset({Guarantee.MEMORY}))
    assert refused.value.code == "guarantee_missing"
    assert refused.value.message == "m cannot give 'memory' on this host: nothing holds it"
    assert "Delegate=yes" in refused.value.hint


def test_a_wrapper_puts_the_words_in_their_place_and_nothing_together() -> None:
    words = ["firejail", "--x={command}", "--", "{command}", "end"]
    assert put_in_place(words, ["sh", "{command}", "-c"]) == [
        "firejail", "--x={command}", "--", "sh", "{command}", "-c", "end",
    ]  # fmt: skip


def test_a_prelude_holds_every_value_on_its_own_line() -> None:
    prelude = command_prelude(sh("", cwd="/a b", env={"X": "'\n$(id)"})).decode().splitlines()
    assert prelude[0] == "cd -- '/a b' || exit 126"
    assert prelude[-2:] == ["export X=''\"'\"''\"$_hutch_newline\"'$(id)'", ""]


async def test_a_wrapper_refuses_mounts_that_it_cannot_show(tmp_path: Path) -> None:
    wrapper = WrapperLauncher(("{command}",), paths={"/srv": "/data"})
    for source, target in ((tmp_path, "/elsewhere"), (Path("/srv/x"), "/srv/x")):
        with pytest.raises(LauncherError) as refused:
            await run(wrapper, spec(sh(":"), mounts=(Mount(source, sh("", cwd=target).cwd),)))
        assert refused.value.code == "sandbox_failed"
    mount = Mount(Path("/srv/x"), sh("", cwd="/data/x").cwd)
    assert (await run(wrapper, spec(sh("echo on"), mounts=(mount,)))).out == b"on\n"


async def test_a_wrapper_without_the_home_starts_in_tmp_unless_a_folder_is_asked_for() -> None:
    wrapper = LAUNCHERS["wrapper"]
    assert (await run(wrapper, spec(sh("pwd", cwd="/home/agent")))).out == b"/tmp\n"
    assert (await run(wrapper, spec(sh("pwd", cwd="/home/agent/x")))).status == code(126)


def test_options_make_a_method_or_name_what_is_wrong() -> None:
    assert build_launcher("wrapper", {"command": ["a", "{command}"]}) == WrapperLauncher(("a", "{command}"))
    assert build_launcher("bubblewrap", {"bwrap": "/x"}) == BubblewrapLauncher(bwrap=Path("/x"))
    for kind, options, told in (
        ("bublewrap", {}, "do you mean 'bubblewrap'?"),
        ("bubblewrap", {"readble": []}, "do you mean 'readable'?"),
        ("bubblewrap", {"bwrap": "relative"}, "absolute path"),
        ("wrapper", {"command": ["a"]}, "exactly one word '{command}'"),
        ("wrapper", {}, "command"),
        ("wrapper", {"command": ["a", 1]}, "list of words"),
    ):
        with pytest.raises(OptionError, match=told.replace("{", r"\{").replace("?", r"\?")):
            build_launcher(kind, options)


async def test_an_error_is_not_a_reason_to_try_with_less() -> None:
    launcher = replace(BubblewrapLauncher(), readable=("/no/such/folder",))
    with pytest.raises(LauncherError) as refused:
        await run(launcher, spec(sh(":")))
    assert refused.value.code == "sandbox_failed"
    assert "/no/such/folder" in refused.value.message


@pytest.mark.parametrize("method", ["bubblewrap", "wrapper"])
async def test_what_a_method_is_made_for_is_tried(method: str) -> None:
    probe = await LAUNCHERS[method].probe(fresh=True)
    groupless = frozenset() if find_hierarchy() else {Ability.FREEZE}
    assert (Ability.KEEP in probe.abilities, probe.unable.keys()) == (True, groupless)


class Restless:
    """A process that says that it is frozen, and is not."""

    def __init__(self, process: SandboxProcess) -> None:
        self._process = process

    def __getattr__(self, name: str) -> object:
        return getattr(self._process, name)

    @asynccontextmanager
    async def frozen(self) -> AsyncGenerator[bool]:
        yield True


async def test_what_a_method_cannot_do_here_is_not_claimed_and_said_with_its_reason() -> None:
    leaky = BubblewrapLauncher("leaky")

    @asynccontextmanager
    async def all_writable(asked: SandboxSpec) -> AsyncGenerator[SandboxProcess]:
        mounts = tuple(replace(mount, writable=True) for mount in asked.mounts)
        async with leaky.launch(replace(asked, mounts=mounts, egress=None)) as process:
            yield cast("SandboxProcess", Restless(process))

    @asynccontextmanager
    async def keeps_nothing(_: SandboxSpec) -> AsyncGenerator[KeptSandbox]:
        raise LauncherError("sandbox_failed", "it does not stay", "")
        yield

    @asynccontextmanager
    async def opens_nothing(asked: SandboxSpec) -> AsyncGenerator[SandboxProcess]:
        if asked.egress:
            raise LauncherError("sandbox_failed", "it opens no doors", "")
        async with leaky.launch(asked) as process:
            yield process

    trials = Trials(opens_nothing, keeps_nothing, "/usr/bin/python3", {}, "tried")
    assert await trials.failed(frozenset({Ability.DOORS})) == {Ability.DOORS: "it opens no doors"}
    trials = Trials(all_writable, keeps_nothing, "/usr/bin/python3", {}, "tried")
    seen = await trials.failed(frozenset(Ability))
    assert seen == {
        Ability.KEEP: "it does not stay",
        Ability.NESTED: "the path could be written",
        Ability.DOORS: "the door led nowhere",
        Ability.IMAGE: "leaky cannot use an image on this host",
        Ability.FREEZE: "it went on while it was held still",
    }
    probe = Probe("leaky", available=True, unable=seen)
    with pytest.raises(LauncherError, match=r"cannot keep a sandbox .* on this host: it does not stay"):
        require_for(probe, replace(spec(sh(":")), command=None))
