"""Turns the storage engine's records into those of the wire."""

from hutch.volumes import Snapshot, VolumeInfo
from hutch_mcp_tools.volume_records import SnapshotRecord, VolumeRecord


def volume_record(info: VolumeInfo) -> VolumeRecord:
    """A volume as it stands."""
    return VolumeRecord(
        name=info.name,
        snapshot=info.snapshot,
        files=info.files,
        bytes=info.bytes,
        updated_at=info.updated_at,
        held_by=info.held_by,
        held_until=info.held_until,
    )


def snapshot_record(snapshot: Snapshot) -> SnapshotRecord:
    """One committed state of a volume."""
    return SnapshotRecord(
        snapshot=snapshot.number,
        run_id=snapshot.run_id,
        created_at=snapshot.created_at,
        files=snapshot.files,
        bytes=snapshot.bytes,
        changed=[str(change) for change in snapshot.changes],
        changes=snapshot.change_count,
    )
