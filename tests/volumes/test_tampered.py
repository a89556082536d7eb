"""Objects that somebody wrote who knows the format: each has its hash, and says what cannot be."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from hutch.errors import HutchError
from hutch.volumes import DirectoryStore, Volumes
from hutch.volumes.log.codec import ENTRY, INLINE_AT, opened, sealed
from support.volume_engine import WEB, run_on


def tamper(path: Path, kind: str, changes: Mapping[str, object]) -> None:
    """Change the entry's line about the file or the link."""
    data = path.read_bytes()
    entry = opened(ENTRY, data, "entry")
    nodes = [json.loads(line) for lines in entry.lines for line in lines.split(b"\n")]
    for node in nodes:
        node.update(changes if node["kind"] == kind else {})
    inline = data[INLINE_AT : INLINE_AT + int.from_bytes(data[INLINE_AT - 4 : INLINE_AT], "little")]
    path.write_bytes(sealed(ENTRY, entry.header, (json.dumps(each).encode() for each in nodes), inline)[0])


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("file", {"size": 2**62}),
        ("file", {"size": -1}),
        ("file", {"mode": -1}),
        ("file", {"mode": 2**40}),
        ("link", {"target": "a\0b"}),
        ("link", {"target": ""}),
    ],
)
async def test_what_cannot_be_is_told_as_damage(
    tmp_path: Path, kind: str, changes: Mapping[str, object]
) -> None:
    volumes = Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "cache")
    async with run_on(volumes) as (lease, folder):
        (folder / "link").symlink_to("file")
        (folder / "file").write_bytes(b"content")
        await volumes.commit(lease, "run 1")
    (entry,) = (tmp_path / "store").rglob("log/*1")
    tamper(entry, kind, changes)
    elsewhere = Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "elsewhere")
    with pytest.raises(HutchError) as read:
        await elsewhere.read(WEB, "/file")
    with pytest.raises(HutchError) as restored:
        async with elsewhere.check_out_read_only(WEB):
            pass
    assert {read.value.code, restored.value.code} == {"volume_damaged"}


@pytest.mark.parametrize("volume", ["..", "default/-/x", 7, None])
async def test_a_pack_of_a_volume_that_cannot_be_is_damage(tmp_path: Path, volume: object) -> None:
    volumes = Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "cache")
    async with run_on(volumes) as (lease, folder):
        (folder / "file").write_bytes(b"content")
        await volumes.commit(lease, "run 1")
    (path,) = (tmp_path / "store").rglob("log/*1")
    data = path.read_bytes()
    entry = opened(ENTRY, data, "entry")
    packs = [{**pack, "volume": volume} for pack in entry.header["packs"]]
    inline = data[INLINE_AT : INLINE_AT + int.from_bytes(data[INLINE_AT - 4 : INLINE_AT], "little")]
    path.write_bytes(sealed(ENTRY, {**entry.header, "packs": packs}, iter(entry.lines), inline)[0])
    elsewhere = Volumes(DirectoryStore(tmp_path / "store"), tmp_path / "elsewhere")
    with pytest.raises(HutchError) as read:
        await elsewhere.read(WEB, "/file")
    assert read.value.code == "volume_damaged"
