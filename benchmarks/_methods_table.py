"""The figures of `methods.py` as the table of docs/methods.md."""

from collections.abc import Mapping, Sequence

from _measure import Row, machine
from _methods import bare_of

_COLUMNS = ("", "start p50, ms", "p95", "over bare", "a second: 1", "16 at once", "64", "of bare at 16")


def table(rows: Sequence[Row], missing: Mapping[str, str]) -> str:
    """One line a method, then what idle sandboxes take, then what could not be measured, and why."""
    starts = {row.name: row for row in rows if row.unit == "ms"}
    rates = {row.name: row.p50 for row in rows if row.unit == "/s"}
    names = dict.fromkeys([*starts, *(name.rpartition(" @")[0] for name in rates)])
    lines = [f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"] if names else []
    lines += [f"| {' | '.join(_cells(name, starts, rates))} |" for name in names]
    lines += ["", *(f"- {row.name}: {row.p50:.2f} {row.unit}" for row in rows if row.unit == "MiB")]
    lines += [f"- Not measured: {name}: {why}" for name, why in missing.items()]
    return "\n".join([*lines, "", "On " + ", ".join(f"{key} {value}" for key, value in machine().items())])


def _cells(name: str, starts: Mapping[str, Row], rates: Mapping[str, float]) -> list[str]:
    start, bare = starts.get(name), starts.get(bare_of(name))
    rate, bare_rate = rates.get(f"{name} @16"), rates.get(f"{bare_of(name)} @16")
    return [
        name,
        f"{start.p50:.1f}" if start else "",
        f"{start.p95:.1f}" if start else "",
        f"{start.p50 - bare.p50:+.1f}" if start and bare else "",
        *(f"{rates[at]:.0f}" if (at := f"{name} @{n}") in rates else "" for n in (1, 16, 64)),
        f"{rate / bare_rate:.0%}" if rate and bare_rate else "",
    ]
