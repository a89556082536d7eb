"""The documentation names what there is, and nothing else."""

import ast
import dataclasses
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from hutch.cli import COMMANDS, hutch
from hutch.config import (
    Agent,
    Budget,
    Bundle,
    Config,
    Daemon,
    Limits,
    Network,
    Policy,
    Price,
    Principal,
    Retention,
    Storage,
    Tier,
    VolumeRules,
    parse,
)
from hutch.config.reader import keys_of
from hutch_launchers.registry import KINDS
from hutch_launchers.spec import Guarantee

ROOT = Path(__file__).parents[1]
SOURCES = [
    file for root in ("daemon", "launchers", "mcp_tools") for file in sorted((ROOT / root).rglob("*.py"))
]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def first_cells(text: str) -> list[str]:
    """The words in backticks of the first column of every table."""
    rows = re.findall(r"^\| (`[^|]*`) \|", text, re.MULTILINE)
    return [word for row in rows for word in re.findall(r"`([^`]+)`", row)]


# Errors ------------------------------------------------------------


def codes() -> Iterator[str]:
    """Every code that is raised: a constant where an error, or a function's parameter `code`, takes it."""
    for file in SOURCES:
        tree = ast.parse(file.read_text())
        takes_code = {"HutchError": 0, "LauncherError": 0, "ServiceError": 0, "__init__": 0}
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                names = [argument.arg for argument in node.args.args]
                if "code" in names and node.name != "__init__":
                    takes_code[node.name] = names.index("code")
                yield from _defaults(node)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                yield from _constant(node, takes_code)


def _defaults(function: ast.FunctionDef) -> Iterator[str]:
    arguments = function.args.args
    for argument, default in zip(reversed(arguments), reversed(function.args.defaults), strict=False):
        if argument.arg == "code" and isinstance(default, ast.Constant):
            yield str(default.value)


def _constant(call: ast.Call, takes_code: dict[str, int]) -> Iterator[str]:
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    given = [call.args[takes_code[name]]] if name in takes_code and len(call.args) > takes_code[name] else []
    given += [keyword.value for keyword in call.keywords if keyword.arg == "code"]
    for value in given:
        if isinstance(value, ast.Constant) and re.fullmatch(r"[a-z]+(_[a-z]+)*", str(value.value)):
            yield str(value.value)


def test_every_code_is_in_the_list_of_errors() -> None:
    assert sorted(set(codes()) - set(first_cells(page("errors.md")))) == []


def test_the_list_of_errors_names_no_code_that_is_never_used() -> None:
    text = "\n".join(file.read_text() for file in SOURCES)
    assert [code for code in first_cells(page("errors.md")) if f'"{code}"' not in text] == []


def test_no_code_is_listed_twice() -> None:
    listed = first_cells(page("errors.md"))
    assert len(listed) == len(set(listed))


# Configuration ------------------------------------------------------------

SECTIONS = {
    "[daemon]": Daemon,
    "[storage]": Storage,
    "[policy]": Policy,
    "[policy.limits]": Limits,
    "[agents.NAME]": Agent,
    "[bundles.NAME]": Bundle,
    "[network.NAME]": Network,
    "[tiers.NAME]": Tier,
    "[principals.NAME]": Principal,
    "[volumes]": VolumeRules,
    "[retention]": Retention,
    '[prices."MODEL"]': Price,
    "[budgets.NAME]": Budget,
}


def section(name: str) -> str:
    return page("configuration.md").split(f"`{name}`", 1)[1].split("\n#", 1)[0].split("\n", 1)[1]


@pytest.mark.parametrize("name", SECTIONS)
def test_every_key_of_the_configuration_is_documented_and_no_other(name: str) -> None:
    keys = [key.name for key in keys_of(SECTIONS[name]).values() if key.kind is not None]
    assert sorted(first_cells(section(name))) == sorted(keys)


def test_the_defaults_in_the_documentation_are_those_of_the_example() -> None:
    example = tomllib.loads((ROOT / "config.example.toml").read_text())
    tables = {
        "[daemon]": example["daemon"],
        "[storage]": example["storage"],
        "[policy]": example["policy"],
        "[volumes]": example["volumes"],
        "[retention]": example["retention"],
        "[policy.limits]": example["policy"]["limits"],
        "[agents.NAME]": example["agents"]["claude"],
        "[network.NAME]": example["network"]["anthropic"],
    }
    for name, table in tables.items():
        told = dict(re.findall(r"^\| `(\w+)` \| `([^|]*)` \|", section(name), re.MULTILINE))
        assert {key: tomllib.loads(f"v = {value}")["v"] for key, value in told.items()} == {
            key: value for key, value in table.items() if not value or not isinstance(value, dict)
        }


def test_every_option_of_a_method_is_documented_and_no_other() -> None:
    set_by_the_daemon = {"name", "probe_cache"}
    options = {
        field.name for kind in KINDS.values() for field in dataclasses.fields(kind)
    } - set_by_the_daemon
    assert set(first_cells(section("[methods.NAME]"))) == {"kind"} | options


def test_every_guarantee_is_in_the_configuration_s_page() -> None:
    assert [word for word in Guarantee if f"`{word}`" not in section("[policy]")] == []


def test_every_configuration_in_the_documentation_is_one() -> None:
    for file in (*(ROOT / "docs").glob("*.md"), ROOT / "README.md"):
        for block in re.findall(r"```toml\n# config.toml\n(.*?)```", file.read_text(), re.DOTALL):
            assert isinstance(parse(block, {"HOME": "/home/ada"}, file), Config)


# Commands ------------------------------------------------------------


def commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(hutch)
    for name in COMMANDS:
        command = hutch.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            for part in command.list_commands(context):
                inner = command.get_command(context, part)
                assert inner is not None
                yield f"{name} {part}", inner


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_every_command_and_its_options_are_documented(name: str, command: click.Command) -> None:
    noun = name.split(" ", 1)[0]
    text = page("cli.md").split(f"\n## hutch {noun}\n", 1)[1].split("\n## ", 1)[0]
    assert " " not in name or f"`hutch {name} " in text or f"`hutch {name}`" in text
    general = {"--json", "--help"}
    options = [max(p.opts, key=len) for p in command.params if isinstance(p, click.Option)]
    assert [option for option in options if option not in general and option not in text] == []


def test_no_documented_command_is_missing() -> None:
    headings = re.findall(r"^## hutch (\w+)$", page("cli.md"), re.MULTILINE)
    assert sorted(headings) == sorted(COMMANDS)


# Tools ------------------------------------------------------------


async def test_every_tool_is_documented() -> None:
    from hutch_mcp_tools.server import build_server
    from support.mcp_service import fake_service

    async with fake_service() as service:
        tools = await build_server(service, version="0").list_tools()
    assert [tool.name for tool in tools if f"`{tool.name}" not in page("mcp.md")] == []


def test_links_in_the_documentation_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    links = [
        (file, link) for file in pages for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", file.read_text())
    ]
    assert [(file.name, link) for file, link in links if not (file.parent / link).exists()] == []
