"""How a volume of a run is written: at a snapshot, as a fork."""

from pathlib import PurePosixPath

import pytest

from hutch.access import Level, Rights
from hutch.access.rights import Pattern
from hutch.config import parse
from hutch.errors import HutchError
from hutch.mounts import VolumeMount, read_mount, refuse_ungranted

DATA, WORKSPACE = PurePosixPath("/data"), PurePosixPath("/workspace")


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("web@12:ro", VolumeMount("web", WORKSPACE, False, "12")),
        ("web@v1.0:/data:ro", VolumeMount("web", DATA, False, "v1.0")),
        ("web@2026-11-20T10:00:/data:ro", VolumeMount("web", DATA, False, "2026-11-20T10:00")),
        ("web@2026-11-20T10:00:59:ro", VolumeMount("web", WORKSPACE, False, "2026-11-20T10:00:59")),
        ("web@2026-11-20 10:00+01:00:ro", VolumeMount("web", WORKSPACE, False, "2026-11-20 10:00+01:00")),
        ("try=web", VolumeMount("try", WORKSPACE, True, None, "web")),
        ("try=team/web@3d:/data", VolumeMount("try", DATA, True, "3d", "team/web")),
        ("$args[n]=$workspace-web", VolumeMount("try", WORKSPACE, True, None, "default-web")),
        ("web@conflict-20261121T045000Z", VolumeMount("web@conflict-20261121T045000Z", WORKSPACE, True)),
        (
            "try=web@conflict-20261121T045000Z@2",
            VolumeMount("try", WORKSPACE, True, "2", "web@conflict-20261121T045000Z"),
        ),
    ],
)
def test_a_snapshot_and_a_fork_are_read(text: str, mount: VolumeMount) -> None:
    assert read_mount(text, {"n": "try"}, "default") == mount


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("web@12", "read it: web@12:ro; or write a fork of it: NEW=web@12"),
        ("try=web@12:ro", "read what it would be a fork of: web@12:ro"),
        ("try=web:/data:ro", "read what it would be a fork of: web:ro"),
        ("web@", "write it as name, name:ro, name:/path or name:/path:ro"),
        ("=web", "write it as name, name:ro, name:/path or name:/path:ro"),
        ("a=b=c", "write it as name, name:ro, name:/path or name:/path:ro"),
        ("web@a/b:ro", "write it as name, name:ro, name:/path or name:/path:ro"),
    ],
)
def test_what_contradicts_itself_is_refused(text: str, hint: str) -> None:
    with pytest.raises(HutchError) as refused:
        read_mount(text, {}, "default")
    assert (refused.value.code, refused.value.hint) == ("volume_invalid", hint)


@pytest.mark.parametrize(
    ("grants", "code"),
    [
        ({"web": "ro", "try": "rw"}, None),
        ({"web": "ro", "try": "ro"}, "volume_read_only"),
        ({"web": "none", "try": "rw"}, "volume_unknown"),
    ],
)
def test_a_fork_needs_the_right_to_read_one_and_to_write_the_other(
    grants: dict[str, str], code: str | None
) -> None:
    config = parse("", {"HOME": "/home/someone"})
    read = (Pattern.read(name, Level.of(word), "default") for name, word in grants.items())
    rights = Rights(patterns=tuple(read))
    mounts = [read_mount("try=web@1", {}, "default")]
    if code is None:
        refuse_ungranted(mounts, config, rights)
        return
    with pytest.raises(HutchError) as refused:
        refuse_ungranted(mounts, config, rights)
    assert refused.value.code == code
