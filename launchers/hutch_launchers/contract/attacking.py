"""Attack programs: sent into one sandbox for all cases of a group, and judged by what each try told."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hutch_launchers.contract.bench import VOLUME, WORKSPACE, Bench
from hutch_launchers.contract.case import Case, NotHeldError, Result
from hutch_launchers.contract.outside import Egress, outside
from hutch_launchers.contract.protected import make_repository, protected_mounts
from hutch_launchers.launcher import LauncherError
from hutch_launchers.spec import Guarantee, Mount

PROGRAMS: Mapping[str, tuple[str, ...]] = {  # by group
    "files": ("files", "mounts", "settings"),
    "protected": ("protected_paths",),
    "kernel": ("kernel", "namespaces", "processes", "terminals"),
    "host": ("host_services",),
    "network": ("network",),
    "secrets": ("planted",),
}
WAYS: tuple[str, ...] = (
    "asking",
    "network",
    "ways_out",
    "smuggling",
    "name_server",
    "floods",
)  # where some are granted

_ATTACKS = Path(__file__).parent / "attacks"
_PACKAGE = "hutch_launchers.contract.attacks"
_PROGRAM_S = 150.0
_LONG_TRY_S = 60.0  # of one that asks the egress, which has bounds of its own
_MAY_HOLD = 32 << 20  # bytes, of bodies that are larger each
_BOOT = """
import sys, types
for name, text in {modules!r}.items():
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(text, name, "exec"), module.__dict__)
sys.modules[{inside!r}].main()
"""


@dataclass(frozen=True, slots=True)
class Try:
    """What one try of an attack program came to."""

    case: str
    kind: str  # "attack" or "allowed"
    name: str
    verdict: str  # "as it must be", "failed", or "absent": it was not made
    detail: str

    def __str__(self) -> str:
        what = "attack" if self.kind == "attack" else "allowed action"
        return f"{what} {self.name.replace('_', ' ')}: {self.detail}"


def program_text(names: Sequence[str]) -> str:
    """The text of attack programs as one, for `python -c`: no file of ours is needed inside."""
    parts = ("inside", "calls", *names)
    modules = {f"{_PACKAGE}.{part}": (_ATTACKS / f"{part}.py").read_text(encoding="utf-8") for part in parts}
    return _BOOT.format(modules=modules, inside=f"{_PACKAGE}.inside")


async def attack(bench: Bench, cases: Sequence[Case]) -> tuple[Sequence[Try], str]:
    """Run the programs of a group for its cases in one sandbox; returns what was told, and any trouble.

    A method that cannot show a mount is attacked without any, and says why.
    Raises LauncherError when it cannot be started at all.
    """
    volume = bench.stage.folder / f"volume-{cases[0].group}"
    volume.mkdir(exist_ok=True)
    workspace: tuple[Mount, ...] = (Mount(bench.stage.workspace, WORKSPACE),)
    if cases[0].group == "protected":
        make_repository(bench.stage.repository)
        workspace = protected_mounts(bench.stage.repository)
    mounts = (*workspace, Mount(volume, VOLUME, writable=True))
    shown = {"HUTCH_WORKSPACE": str(WORKSPACE), "HUTCH_VOLUME": str(VOLUME)}
    try:
        return await _attack(bench, cases, mounts, shown)
    except LauncherError as error:
        tries, trouble = await _attack(bench, cases, (), {})
        return tries, trouble or error.message


async def attack_ways(bench: Bench, cases: Sequence[Case], egress: Egress) -> tuple[Sequence[Try], str, str]:
    """Run the programs on granted ways in one sandbox that has some, served by `egress` in this process.

    Returns what was told, any trouble, and what came of it outside and must not have.
    """
    folder = bench.stage.folder / "ways"
    folder.mkdir(mode=0o700)
    async with outside() as world, egress(world, folder) as way:
        facts = {
            **bench.stage.facts,
            **world.facts,
            "try_s": _LONG_TRY_S,
            "cases": [case.key for case in cases],
        }
        command = bench.program(program_text(WAYS), json.dumps(facts), env=way.env)
        before = _peak_memory(forget=True)
        try:
            done = await bench.run(command, within_s=_PROGRAM_S, egress=way.endpoint)
        except (
            LauncherError,
            NotHeldError,
        ) as error:  # not through the world's tasks, which make a group of it
            return (), f"the attacks could not be made: {error}", ""
        grown = _peak_memory() - before
    tries, trouble = told(done.out)
    trouble = trouble and f"{trouble}, by {done.ended_by}: {done.err[-300:]}"
    disturbed = [*world.disturbed()]
    if grown > _MAY_HOLD:
        disturbed.append(f"the egress held {grown >> 20} MiB")
    return tries, trouble, "; ".join(disturbed)


def _peak_memory(*, forget: bool = False) -> int:
    """The most bytes that this process has had in memory, since it was asked to forget."""
    if forget:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


async def _attack(
    bench: Bench, cases: Sequence[Case], mounts: tuple[Mount, ...], env: Mapping[str, str]
) -> tuple[Sequence[Try], str]:
    # without what a case rests on nothing of it is tried: an attack that works must not happen to a host
    given = [case.key for case in cases if not bench.lacks(case.needs, case.uses)]
    own_kernel = Guarantee.KERNEL in bench.probe.guarantees
    facts = json.dumps({**bench.stage.facts, "cases": given, "own_kernel": own_kernel})
    command = bench.program(program_text(PROGRAMS[cases[0].group]), facts, env=env)
    done = await bench.run(command, within_s=_PROGRAM_S, mounts=mounts)
    tries, trouble = told(done.out)
    return tries, trouble and f"{trouble}, by {done.ended_by}: {done.err[-300:]}"


def told(output: str) -> tuple[list[Try], str]:
    """The tries that a program told, and its trouble: what it did not come to has failed."""
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{") and line.endswith("}")]
    tries = [Try(**line) for line in lines if "verdict" in line]
    made = {(one.case, one.kind, one.name) for one in tries}
    planned = [(case, kind, name) for line in lines for case, kind, name in line.get("planned", ())]
    missing = [one for one in planned if one not in made]
    trouble = "" if planned and not missing else "the attack program ended early"
    return [*tries, *(Try(*one, "failed", trouble) for one in missing)], trouble


def judge(case: Case, tries: Sequence[Try], trouble: str) -> Result:
    """Judge a case by its own tries: all attacks were held, and what is allowed worked."""
    own = [one for one in tries if one.case == case.key]
    failed = [str(one) for one in own if one.verdict == "failed"]
    made = [one for one in own if one.verdict != "absent" and one.kind == "attack"]
    if failed or not own:
        return Result(case, "not held", "; ".join(failed) or trouble or "no attack program knows of it")
    if not made:
        return Result(case, "refused", trouble or own[0].detail)
    return Result(case, "held", f"{len(made)} attacks")
