"""Turns the storage engine's records into those of the wire."""

from dataclasses import asdict

from hutch.volumes import CheckReport, Collected, Snapshot, Tag, Thinned, VolumeInfo, VolumeStat
from hutch_mcp_tools.volume_records import (
    CheckRecord,
    CollectedRecord,
    SnapshotRecord,
    TagRecord,
    ThinnedRecord,
    VolumeDetails,
    VolumeRecord,
)


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
        removed_at=info.removed_at,
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
        left_out=[f"{left.path}: {left.reason}" for left in snapshot.left_out],
        left_out_count=snapshot.left_out_count,
        tags=list(snapshot.tags),
        while_running=snapshot.while_running,
    )


def tag_record(tag: Tag) -> TagRecord:
    """A name of a snapshot."""
    return TagRecord(label=tag.label, snapshot=tag.number, created_at=tag.created_at)


def thinned_record(thinned: Thinned) -> ThinnedRecord:
    """What became of older snapshots."""
    return ThinnedRecord(
        name=thinned.name, kept=list(thinned.kept), dropped=list(thinned.dropped), dry_run=thinned.dry_run
    )


def collected_record(collected: Collected) -> CollectedRecord:
    """What was deleted."""
    return CollectedRecord.model_validate(asdict(collected))


def volume_details(stat: VolumeStat) -> VolumeDetails:
    """A volume and what it costs."""
    return VolumeDetails(
        volume=volume_record(stat.info),
        snapshots=stat.snapshots,
        stored_bytes=stat.stored_bytes,
        history_bytes=stat.history_bytes,
        shared_bytes=stat.shared_bytes,
        parent=stat.parent,
        forks=stat.forks,
        tags=[tag_record(tag) for tag in stat.tags],
        max_bytes=stat.quota.max_bytes,
        max_files=stat.quota.max_files,
        max_history_bytes=stat.quota.max_history_bytes,
    )


def check_record(report: CheckReport) -> CheckRecord:
    """The outcome of a check."""
    return CheckRecord(
        name=report.name,
        snapshot=report.snapshot,
        entries=report.entries,
        checkpoints=report.checkpoints,
        packs=report.packs,
        blocks=report.blocks,
        bytes_read=report.bytes_read,
        problems=list(report.problems),
    )
