"""Templates in a volume's name: what is one, what a value may bring in, and that nothing is read twice."""

import re
from collections.abc import Callable
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutch.access import interpolate, read_name, spell
from hutch.access.rights import OWNERS_RIGHTS
from hutch.config import parse
from hutch.errors import HutchError
from hutch.policy import Wish, decide
from hutch.volumes import VolumeName

ARGS = {"userId": "ada", "user": {"id": 42, "tags": {"first-name": "a.b"}}, "n": -7}
CONFIG = parse("", {"HOME": "/home/someone"})

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
templates = st.text(st.sampled_from("$workspaceargs[].-_/ab1:\\{}\n é"), max_size=40)


def resolved(text: str, args: dict[str, object] | None = None, workspace: str = "lab") -> str:
    return interpolate(text, workspace=workspace, args=ARGS if args is None else args)


def refused(text: str, args: dict[str, object] | None = None) -> HutchError:
    with pytest.raises(HutchError) as caught:
        resolved(text, args)
    return caught.value


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("plain", "plain"),
        ("$workspace", "lab"),
        ("$workspace-$args[userId]", "lab-ada"),
        ("$workspace/$args[user.id]", "lab/42"),
        ("x$args[user.tags.first-name]x", "xa.bx"),
        ("a$args[n]", "a-7"),
        ("$workspace.$workspace", "lab.lab"),
    ],
)
def test_templates_become_what_they_name(text: str, name: str) -> None:
    assert resolved(text) == name


@pytest.mark.parametrize(
    ("text", "character", "shown"),
    [
        ("ab-$args[userId", 4, "$args[userId"),
        ("$args", 1, "$args"),
        ("$args[]", 1, "$args[]"),
        ("$args[.a]", 1, "$args[.a]"),
        ("$args[a..b]", 1, "$args[a..b]"),
        ("$args[a b]", 1, "$args[a b]"),
        ("$args['a']", 1, "$args["),
        ("x$user", 2, "$user"),
        ("$workspaces", 1, "$workspaces"),
        ("$workspace_1", 1, "$workspace"),
        ("$Workspace", 1, "$Workspace"),
        ("${workspace}", 1, "$"),
        ("$$workspace", 1, "$"),
        ("a$", 2, "$"),
        ("$args[$workspace]", 1, "$args[$workspace]"),
    ],
)
def test_what_is_no_template_is_shown_with_its_place(text: str, character: int, shown: str) -> None:
    error = refused(text)
    assert error.code == "template_invalid"
    assert f"{text!r}, character {character}: " in error.message.replace('"', "'") or "'a'" in text
    assert shown in error.message


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("../other", "cannot be a part"),
        ("a/b", "cannot be a part"),
        ("a..b", "cannot be a part"),
        ("", "cannot be a part"),
        ("$workspace", "cannot be a part"),
        ("$args[userId]", "cannot be a part"),
        ("a:ro", "cannot be a part"),
        ("a\n", "cannot be a part"),
        ("a\0b", "cannot be a part"),
        ("e\u0301", "cannot be a part"),
        ("\u0430dmin", "cannot be a part"),  # a Cyrillic letter that looks like an "a"
        ("a\u202eb", "cannot be a part"),
        ("\uff0e\uff0e", "cannot be a part"),  # full-width dots, which a normal form turns into ".."
        ("x" * 256, "cannot be a part"),
        ("x" * 10_000_000, "cannot be a part"),
        (10**18, "too large"),
        (-(10**40), "too large"),
        (1.5, "not a whole number"),
        (float("nan"), "not a whole number"),
        (True, "true or false"),
        (None, "null"),
        ({"a": "b"}, "an object"),
        (["a"], "a list"),
    ],
)
def test_a_value_brings_in_nothing_but_a_part_of_a_name(value: object, said: str) -> None:
    error = refused("web-$args[it]", {"it": value})
    assert (error.code, said in error.message) == ("argument_invalid", True)
    assert "$args[it]" in error.message
    assert "character 5" in error.message
    assert len(error.message) < 500
    assert error.message.isascii()
    assert error.message.isprintable()


@pytest.mark.parametrize(
    ("text", "missing"), [("$args[no]", "no"), ("$args[user.no]", "user.no"), ("$args[userId.x]", "userId.x")]
)
def test_a_missing_argument_is_named(text: str, missing: str) -> None:
    error = refused(text)
    assert (error.code, f"no argument {missing!r}" in error.message) == ("argument_invalid", True)


def outcome(work: Callable[[], str]) -> tuple[str, str]:
    """What a piece of work gives, or the code and the message of its refusal."""
    try:
        return "", work()
    except HutchError as error:
        return error.code, error.message


@given(templates, st.dictionaries(st.sampled_from(["a", "b1", "r-s"]), anything, max_size=3))
def test_any_text_and_any_arguments_give_a_name_or_a_plain_refusal(
    text: str, args: dict[str, object]
) -> None:
    code, said = outcome(lambda: interpolate(text, workspace="lab", args=args))
    assert code in ("", "template_invalid", "argument_invalid")
    assert said.isprintable() if code else "$" not in said
    assert "$" in text or said == text


@given(anything, anything)
def test_a_value_stays_where_it_stands(first: object, second: object) -> None:
    """Taken apart again at the separators, the name has the values that went in: none has moved one."""
    text = "a:$args[x]:$args[y]:z"
    code, said = outcome(lambda: interpolate(text, workspace="lab", args={"x": first, "y": second}))
    assert code or said.split(":") == ["a", str(first), str(second), "z"]


@given(st.text(max_size=300))
def test_a_mount_from_any_value_is_of_a_volume_that_may_be_called_so(value: str) -> None:
    wish = Wish(command="id", volumes=("u-$args[v]:/data",), args={"v": value})

    def mounted() -> str:
        (mount,) = decide(wish, CONFIG, OWNERS_RIGHTS, shell="/bin/sh", networks=()).volumes
        assert mount.target == PurePosixPath("/data")
        return mount.name

    code, said = outcome(mounted)
    assert code in ("", "argument_invalid", "volume_name_invalid")
    assert code or re.fullmatch(r"u-[A-Za-z0-9._-]*[A-Za-z0-9]", said)


# Names ------------------------------------------------------------

part = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,6}[A-Za-z0-9]", fullmatch=True)


@given(part, part, part)
def test_a_spelling_is_read_back_as_the_same_volume(workspace: str, name: str, own: str) -> None:
    for volume in (VolumeName(workspace, name), VolumeName(own, name), VolumeName("default", name)):
        assert read_name(spell(volume, own), own) == volume


@given(st.text(max_size=20), part)
def test_what_is_read_is_a_name_whose_parts_are_safe(text: str, workspace: str) -> None:
    code, said = outcome(lambda: read_name(text, workspace).full)
    assert code in ("", "volume_name_invalid")
    assert code or said in (text, f"{workspace}/{text}")
    assert code or re.fullmatch(r"[A-Za-z0-9._@-]+/[A-Za-z0-9._@-]+", said)
