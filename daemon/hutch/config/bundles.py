"""What agents are given together by one name: `[bundles.NAME]`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from hutch.config.kinds import Each, Place
from hutch.config.reader import Reader


@dataclass(frozen=True, slots=True)
class Bundle:
    """Files of this host, read anew when a turn begins."""

    instructions: Annotated[Path, Place(may_be_empty=True)] = Path()
    skills: Annotated[tuple[Path, ...], Each(Place())] = ()
    mcp_config: Annotated[Path, Place(may_be_empty=True)] = Path()


def check_bundles(
    reader: Reader, bundles: Mapping[str, Bundle], named: Mapping[str, tuple[str, ...]]
) -> None:
    """Raise HutchError `config_invalid` where a key names no bundle."""
    for where, names in named.items():
        for name in names:
            if name not in bundles:
                raise reader.error(
                    where, f"names no bundle: {name!r}", f"known: {', '.join(sorted(bundles)) or 'none'}"
                )
