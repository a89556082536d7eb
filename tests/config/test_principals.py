"""Principals of the configuration: what is written, and nothing by default."""

import pytest

from hutch.config import parse
from support.configured import ENV, refusal


def test_a_principal_has_what_is_written_and_nothing_by_default() -> None:
    config = parse(
        '[principals.ci]\nvolumes = {"team-*" = "rw", "lab/web" = "owner"}\n[principals.ada]\n', ENV
    )
    assert dict(config.principals["ci"].volumes) == {"team-*": "rw", "lab/web": "owner"}
    assert dict(config.principals["ada"].volumes) == {}
    assert dict(parse("", ENV).principals) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[principals.owner]", "must be named by a-z, 0-9, - and _, and not 'owner'"),
        ("[principals.Ada]", "must be named by"),
        ('[principals."a/b"]', "must be named by"),
        ("[principals.ci]\nvolumes = []", "volumes must be a table such as"),
        ('[principals.ci]\nvolumes = {"web" = "write"}', "must be one of none, ro, rw, owner, not 'write'"),
        ('[principals.ci]\nvolumes = {"web" = true}', "must be one of none, ro, rw, owner, not True"),
        ('[principals.ci]\nvolume = {"web" = "ro"}', "principals.ci.volume is not a key"),
        *(
            (f"[principals.ci]\nvolumes = {{{pattern} = 'ro'}}", "must name volumes by")
            for pattern in (
                '""',
                '"a/b/c"',
                '"/a"',
                '"a/"',
                '"a b"',
                '"w?b"',
                '"[ab]"',
                '"é"',
                '"a\\nb"',
                '"a@b"',
            )
        ),
    ],
)
def test_a_principal_s_mistake_is_named(text: str, message: str) -> None:
    assert message in refusal(text)[0]
