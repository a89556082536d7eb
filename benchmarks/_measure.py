"""What every benchmark shares: its options, a row of figures, the report for a person or as JSON."""

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

# A benchmark may start the same real daemon as the tests do: `from support.daemon import daemon`
sys.path.append(str(Path(__file__).parents[1] / "tests"))


@dataclass(frozen=True, slots=True)
class Options:
    """`--json`: one document on stdout; `--quick`: less work, rougher figures. `choices`: its own options."""

    json: bool
    quick: bool
    choices: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """What one thing took, over all rounds."""

    name: str
    unit: str
    rounds: int
    best: float
    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, name: str, unit: str, samples: Sequence[float]) -> "Row":
        ordered = sorted(samples)

        def at(share: float) -> float:
            return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

        return cls(name, unit, len(ordered), ordered[0], statistics.median(ordered), at(0.95), at(0.99))


def options(doc: str | None, **choices: Sequence[str]) -> Options:
    """Read the command line; `doc` is the module's text, `choices` its own options, default first."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--quick", action="store_true", help="less work, rougher figures")
    for name, values in choices.items():
        parser.add_argument(f"--{name}", choices=values, default=values[0], help=f"default: {values[0]}")
    given = parser.parse_args()
    return Options(given.json, given.quick, {name: getattr(given, name) for name in choices})


def report(
    title: str,
    rows: Sequence[Row],
    ratios: Mapping[str, float],
    given: Options,
    missing: Mapping[str, str] | None = None,
) -> None:
    """Print the figures. `missing` says of what could not be measured here why."""
    if given.json:
        document = {
            "title": title,
            "quick": given.quick,
            "machine": machine(),
            "rows": [asdict(row) for row in rows],
            "ratios": dict(ratios),
            "missing": dict(missing or {}),
        }
        print(json.dumps(document, indent=2))
        return
    print(f"{title}{' (quick)' if given.quick else ''}")
    print(", ".join(f"{key} {value}" for key, value in machine().items()))
    width = max(map(len, [*(row.name for row in rows), *ratios]))
    print(f"\n{'':{width}}  {'best':>9} {'p50':>9} {'p95':>9} {'p99':>9}  rounds")
    for row in rows:
        figures = " ".join(f"{figure:9.3f}" for figure in (row.best, row.p50, row.p95, row.p99))
        print(f"{row.name:{width}}  {figures}  {row.rounds:>5}  {row.unit}")
    print()
    for name, ratio in ratios.items():
        print(f"{name:{width}}  {ratio:9.2f}")
    for name, why in (missing or {}).items():
        print(f"missing: {name}: {why}")


def machine() -> dict[str, str]:
    """What the figures depend on."""
    memory_gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    return {
        "cpu": cpu,
        "cores": str(os.cpu_count()),
        "memory": f"{memory_gib:.0f} GiB",
        "kernel": platform.release(),
        "python": sys.version.split()[0],
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
