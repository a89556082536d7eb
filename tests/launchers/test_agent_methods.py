"""Methods in launch mode: they start a named agent, refuse commands, and promise nothing."""

import secrets
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from hutch_launchers.agent_method import AgentMethod
from hutch_launchers.launcher import AgentLauncher, Launcher, LauncherError, SandboxProcess
from hutch_launchers.methods.agent_launcher import launcher_argv
from hutch_launchers.registry import OptionError, build_launcher
from hutch_launchers.spec import Command, ExitStatus, Guarantee, Limits, Mount, SandboxSpec

SBX = ("sbx", "run", "--name", "{run}", "{agent}", "{workspace}", "--", "{args}")
WORKSPACE = PurePosixPath("/workspace")
TELL = 'printf "%s|" "$@"; printf "%s|%s|%s" "$PWD" "$CONFIG" "$HOME"'


def spec(folder: Path, *argv: str, writable: bool = True) -> SandboxSpec:
    command = Command(
        argv, WORKSPACE, {"PATH": "/usr/bin:/bin", "HOME": "/home/agent", "CONFIG": "/workspace/.c"}
    )
    mount = Mount(folder, WORKSPACE, writable)
    return SandboxSpec(f"r-{secrets.token_hex(5)}", command, (mount,), Limits(wall_s=30), None, frozenset())


def builtin() -> AgentMethod:
    launcher = build_launcher("builtin", {"programs": ["sh"]})
    assert isinstance(launcher, AgentMethod)
    return launcher


def program(tmp_path: Path) -> AgentMethod:
    """A program that starts an agent: it says how it was called."""
    script = tmp_path / "sbx"
    script.write_text(f"#!/bin/sh\n{TELL}\n")
    script.chmod(0o755)
    log = tmp_path / "removed"
    remover = tmp_path / "rm"
    remover.write_text(f'#!/bin/sh\necho "$@" >> {log}\n')
    remover.chmod(0o755)
    launcher = build_launcher(
        "launcher", {"name": "sbx", "command": [str(script), *SBX[1:]], "remove": [str(remover), "{run}"]}
    )
    assert isinstance(launcher, AgentMethod)
    return launcher


async def told(launched: AbstractAsyncContextManager[SandboxProcess]) -> str:
    said = b""
    async with launched as process:
        async for chunk in process.stdout:
            said += chunk
        assert await process.wait() == ExitStatus(code=0, signal=None)
    return said.decode()


def test_every_argument_stays_a_word_of_its_own() -> None:
    args = ("-p", "--settings", '{"a b":"{agent}"}', "")
    assert launcher_argv(SBX, "claude", "/work space", args, "hutch-r-1") == (
        *("sbx", "run", "--name", "hutch-r-1", "claude", "/work space", "--", "-p"),
        *("--settings", '{"a b":"{agent}"}', ""),
    )


async def test_an_agent_s_own_paths_are_those_of_the_host(tmp_path: Path) -> None:
    what = spec(tmp_path, "sh", "-c", TELL, "sh", "--add-dir", "/workspace/x", "a:/workspace/y")
    said = await told(builtin().launch_agent("claude", what))
    *words, cwd, config, home = said.split("|")
    assert words == ["--add-dir", f"{tmp_path}/x", "a:/workspace/y"]
    assert (cwd, config) == (str(tmp_path), f"{tmp_path}/.c")
    assert what.run_id in home
    assert not Path(home).exists()  # gone with the run


async def test_a_program_gets_agent_folder_and_arguments_and_no_environment(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    what = spec(folder, "/opt/agent/claude", "-p", "--model", "opus 5")
    said = await told(program(tmp_path).launch_agent("claude", what))
    *words, _, config, home = said.split("|")
    name = f"hutch-{what.run_id}"
    assert words == ["run", "--name", name, "claude", str(folder), "--", "-p", "--model", "opus 5"]
    assert (config, home) == ("", str(Path.home()))
    assert (tmp_path / "removed").read_text().split() == [name]


async def test_what_the_program_does_not_show_is_refused(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    folder = tmp_path / "folder"
    folder.mkdir()
    what = spec(folder, "/opt/agent/claude", "--add-dir", "/opt/given")
    what = replace(what, mounts=(*what.mounts, Mount(given, PurePosixPath("/opt/given"))))
    with pytest.raises(LauncherError) as refused:
        await told(program(tmp_path).launch_agent("claude", what))
    assert refused.value.code == "sandbox_failed"
    with pytest.raises(LauncherError) as refused:
        await told(program(tmp_path).launch_agent("codex", spec(folder, "codex")))
    assert refused.value.code == "agent_needed"


@pytest.mark.parametrize("kind", ["builtin", "launcher"])
async def test_a_method_in_launch_mode_runs_no_command_and_promises_nothing(
    kind: str, tmp_path: Path
) -> None:
    launcher: AgentMethod = builtin() if kind == "builtin" else program(tmp_path)
    assert isinstance(launcher, AgentLauncher)
    for start in (launcher.launch, launcher.keep):
        with pytest.raises(LauncherError) as refused:
            await start(spec(tmp_path, "true")).__aenter__()
        assert refused.value.code == "agent_needed"
    probe = await launcher.probe()
    assert (probe.available, probe.guarantees, probe.abilities) == (True, frozenset(), frozenset())
    needy = replace(spec(tmp_path, "true"), needs=frozenset({Guarantee.FILESYSTEM}))
    with pytest.raises(LauncherError) as refused:
        await told(launcher.launch_agent("claude", needy))
    assert refused.value.code == "guarantee_missing"
    assert "policy.needs = []" in refused.value.hint
    assert "policy.force_sandbox = false" in refused.value.hint
    with pytest.raises(LauncherError) as refused:
        await told(launcher.launch_agent("claude", spec(tmp_path, "true", writable=False)))
    assert refused.value.code == "guarantee_missing"


async def test_what_is_missing_is_named_with_its_fix() -> None:
    probe = await build_launcher("builtin", {"programs": ["sh", "no-such-program"]}).probe()
    assert (probe.available, probe.fix) == (False, "apt install no-such-program")
    launcher: Launcher = build_launcher("launcher", {"command": ["no-such-program", *SBX[1:]]})
    assert not (await launcher.probe()).available


@pytest.mark.parametrize(
    "options",
    [
        {"command": ["sbx", "{agent}", "{args}"]},
        {"command": ["sbx", "{agent}", "{workspace}", "{args}", "{args}"]},
        {"command": ["sbx", "{agent}", "{workspace}", "{args}"], "remove": ["sbx", "rm", "{run}"]},
    ],
)
def test_a_command_without_its_places_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        build_launcher("launcher", options)
