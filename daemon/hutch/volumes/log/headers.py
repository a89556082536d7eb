"""Headers of entries and checkpoints: what they tell of a state, and what people are told of them."""

from datetime import datetime

from hutch.volumes.log.codec import Header
from hutch.volumes.log.state import Commit, Patch, State
from hutch.volumes.records import Change, LeftOut, Snapshot, shown
from hutch.volumes.tree.node_lines import byte_string, read_byte_string


def entry_header(state: State, commit: Commit, made: Patch, packs: list[Header]) -> Header:
    """The header of the entry after `state`."""
    told: Header = {
        "format": 1,
        "volume": state.id,
        "number": state.number + 1,
        "parent": state.hash,
        "token": commit.token,
        "kind": commit.kind,
        "nonce": commit.nonce,
        "run": commit.run,
        "created_at": commit.created_at.isoformat(),
        "checkpoint": state.checkpoint and state.checkpoint._asdict(),
        "fork": state.fork.told() if state.fork and state.number == 0 else None,
        "files": made.files,
        "bytes": made.size,
        "changes": made.changes,
        "changed": [[kind, byte_string(path)] for kind, path in made.changed],
        "left_out": [[left.path, left.reason] for left in commit.left_out],
        "left_out_count": commit.left_out_count,
        "packs": packs,
    }
    return told | {"while_running": True} if commit.while_running else told


def checkpoint_header(state: State, header: Header, packs: list[Header]) -> Header:
    """The header of a checkpoint of `state`, whose entry has `header`."""
    of_entry = ("run", "created_at", "changes", "changed", "left_out", "left_out_count", "while_running")
    return {
        "format": 1,
        "volume": state.id,
        "number": state.number,
        "kind": "full",
        "entry": state.hash,
        "token": state.token,
        "files": state.files,
        "bytes": state.bytes,
        "next_pack": state.next_pack,
        "next_inode": state.next_inode,
        **{key: header[key] for key in of_entry if key in header},
        "packs": packs,
    }


def snapshot_of(header: Header) -> Snapshot:
    """What a header tells people."""
    changes = []
    for kind, path in header["changed"]:
        raw = read_byte_string(path)
        changes.append(Change(kind, shown(raw), raw))
    return Snapshot(
        number=header["number"],
        run_id=header["run"],
        created_at=datetime.fromisoformat(header["created_at"]),
        files=header["files"],
        bytes=header["bytes"],
        changes=tuple(changes),
        change_count=header["changes"],
        left_out=tuple(LeftOut(path, reason) for path, reason in header["left_out"]),
        left_out_count=header["left_out_count"],
        while_running=header.get("while_running", False),
    )
