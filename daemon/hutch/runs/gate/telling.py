"""What of an answer a principal is told: volumes by the names that callers write, and no hidden ones."""

from hutch.access import Access, Level, Rights
from hutch.volumes import VolumeName
from hutch_mcp_tools.volume_records import (
    CheckRecord,
    CollectedRecord,
    ThinnedRecord,
    VolumeDetails,
    VolumeRecord,
)

Named = VolumeRecord | CheckRecord | CollectedRecord | ThinnedRecord


def told(answer: object, access: Access, rights: Rights) -> object:
    """Return an answer of the service as it may be told. Of a list of volumes, each that may be read.

    The engine leaves out the workspace `default` of a name; here it is the daemon's own that is left out.
    """
    if isinstance(answer, list):
        return [told(one, access, rights) for one in answer if not _is_hidden(one, rights)]
    if isinstance(answer, Named):
        return answer.model_copy(update={"name": access.spell(VolumeName.parse(answer.name))})
    if isinstance(answer, VolumeDetails):
        parent = VolumeName.parse(answer.parent) if answer.parent else None
        is_known = parent is not None and rights.level(parent) >= Level.READ
        volume = told(answer.volume, access, rights)
        return answer.model_copy(
            update={"volume": volume, "parent": access.spell(parent) if parent and is_known else None}
        )
    return answer


def _is_hidden(one: object, rights: Rights) -> bool:
    return isinstance(one, VolumeRecord) and rights.level(VolumeName.parse(one.name)) < Level.READ
