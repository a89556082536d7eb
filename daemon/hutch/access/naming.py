"""The one spelling of a volume's name on a daemon: without its workspace where that is the daemon's."""

from hutch.errors import HutchError
from hutch.volumes import VolumeName


def read_name(text: str, workspace: str) -> VolumeName:
    """Read a name; without a workspace it is in `workspace`. Raises HutchError `volume_name_invalid`."""
    try:
        return VolumeName.parse(text if "/" in text else f"{workspace}/{text}")
    except HutchError as error:  # said again in the caller's own words
        raise HutchError(error.code, f"not a volume name: {text[:80]!r}", error.hint) from error


def spell(name: VolumeName, workspace: str) -> str:
    """Return what `read_name` reads as `name`: two volumes never have one spelling, nor one volume two."""
    return name.name if name.workspace == workspace else name.full
