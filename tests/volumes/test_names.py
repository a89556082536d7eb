"""Names of volumes, as people write them."""

import pytest

from hutch.errors import HutchError
from hutch.volumes import (
    VolumeName,
)


@pytest.mark.parametrize(
    ("text", "workspace", "name"),
    [
        ("web", "default", "web"),
        ("team/web", "team", "web"),
        ("a1", "default", "a1"),
        ("x" * 255, "default", "x" * 255),
    ],
)
def test_a_name_is_read(text: str, workspace: str, name: str) -> None:
    assert VolumeName.parse(text) == VolumeName(workspace, name)
    assert str(VolumeName.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "../other",
        "a/b/c",
        "/ab",
        "ab/",
        ".ab",
        "ab.",
        "-ab",
        "a b",
        "ab\n",
        "äb",
        "ab@x",
        "x" * 256,
        "ab/../cd",
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(HutchError) as caught:
        VolumeName.parse(text)
    assert caught.value.code == "volume_name_invalid"
