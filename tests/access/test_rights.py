"""What a principal may do with a volume: patterns, shares, and the words of a refusal."""

import re
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutch.access import Level, Rights
from hutch.access.rights import Pattern
from hutch.config import parse
from hutch.errors import HutchError
from hutch.mounts import VolumeMount
from hutch.policy import Wish, decide
from hutch.volumes import VolumeName

CONFIG = parse("", {"HOME": "/home/someone"})
part = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,6}[A-Za-z0-9]", fullmatch=True)
patterns = st.text(st.sampled_from("ab*-."), min_size=1, max_size=6)


def of(grants: dict[str, str], workspace: str = "default") -> Rights:
    read = (Pattern.read(text, Level.of(word), workspace) for text, word in grants.items())
    return Rights(patterns=tuple(read))


def level(given: Rights, text: str) -> str:
    return given.level(VolumeName.parse(text)).word


GRANTS = of({"team-*": "rw", "web": "owner", "*": "ro", "*-keys": "none", "lab/*": "rw", "*/shared": "ro"})


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("web", "owner"),
        ("default/web", "owner"),
        ("Web", "ro"),
        ("web2", "ro"),
        ("team-one", "rw"),
        ("Team-one", "ro"),
        ("steam-one", "ro"),
        ("my-keys", "none"),
        ("team-keys", "none"),  # two patterns of the same length: the lesser right
        ("lab/any", "rw"),
        ("lab/web", "rw"),
        ("other/web", "none"),
        ("other/shared", "ro"),
        ("lab/shared", "ro"),  # seven characters of a name go before four
    ],
)
def test_the_most_specific_pattern_decides(name: str, word: str) -> None:
    assert level(GRANTS, name) == word


def test_nothing_is_granted_by_default() -> None:
    assert level(Rights(), "web") == "none"
    assert level(of({}), "web") == "none"
    assert level(of({"web": "none"}), "web") == "none"


@pytest.mark.parametrize(
    "odd", [".", "..", "w.b", "w?b", "[w]eb", "(web)", "^web$", "web|x", "\\w+", "web\n", "we"]
)
def test_a_pattern_has_one_odd_character(odd: str) -> None:
    assert level(of({odd: "owner"}), "web") == "none"


def test_a_pattern_stays_within_its_workspace() -> None:
    assert level(of({"*": "owner"}, "lab"), "default/web") == "none"
    assert level(of({"*": "owner"}, "lab"), "lab/web") == "owner"
    assert level(of({"*/*": "ro"}), "any/web") == "ro"


def test_a_share_goes_before_every_pattern_in_both_directions() -> None:
    shared = replace(GRANTS, shares={"default/web": Level.NONE, "other/web": Level.WRITE})
    assert (level(shared, "web"), level(shared, "other/web"), level(shared, "team-a")) == ("none", "rw", "rw")


def test_work_kept_beside_a_volume_is_as_private_as_the_volume() -> None:
    fork = "my-keys@conflict-20260101T000000Z"
    assert level(GRANTS, fork) == "none"
    assert level(GRANTS, "web@conflict-20260101T000000Z-2") == "owner"
    assert level(replace(GRANTS, shares={"default/web": Level.READ}), "web@conflict-20260101T000000Z") == "ro"


@pytest.mark.parametrize("name", ["x" * 250 + "-keys", "web" + "-" * 250 + "x", "a" * 199 + "-keys"])
def test_work_kept_beside_a_long_name_is_for_the_owner_principal(name: str) -> None:
    fork = VolumeName.parse(name).conflict(datetime(2026, 1, 1, tzinfo=UTC), 99)
    assert level(GRANTS, str(fork)) == "none"
    assert VolumeName.parse(str(fork)) == fork
    assert len(fork.name) < 255
    assert level(replace(GRANTS, shares={fork.full: Level.READ}), str(fork)) == "ro"


@given(patterns, st.text(st.sampled_from("ab-."), max_size=8))
def test_a_star_is_any_text_and_nothing_else_is_odd(pattern: str, name: str) -> None:
    expression = ".*".join(map(re.escape, pattern.split("*")))
    fits = Pattern.read(pattern, Level.READ, "default").fits(f"default/{name}")
    assert fits == bool(re.fullmatch(expression, name))


def test_a_long_name_costs_no_time_whatever_the_pattern() -> None:
    hard = Pattern.read("*a" * 100 + "b", Level.READ, "default")
    began = time.thread_time()
    assert not any(hard.fits("default/" + "a" * length) for length in range(256))
    assert time.thread_time() - began < 1


@given(st.dictionaries(patterns, st.sampled_from(["none", "ro", "rw", "owner"]), max_size=5), part)
def test_a_right_comes_from_a_pattern_that_fits(grants: dict[str, str], name: str) -> None:
    given = of(grants)
    fitting = {word for text, word in grants.items() if level(of({text: "owner"}), name) == "owner"}
    assert level(given, name) in (fitting or {"none"})


# Refusals ------------------------------------------------------------


def code_of(given: Rights, name: str, needed: Level) -> str:
    with pytest.raises(HutchError) as refused:
        given.require(VolumeName.parse(name), needed)
    assert refused.value.hint
    return refused.value.code


def test_a_refusal_says_what_is_known_and_no_more() -> None:
    some = of({"web": "ro", "team": "rw"})
    assert code_of(some, "web", Level.WRITE) == "volume_read_only"
    assert code_of(some, "web", Level.OWN) == "volume_read_only"
    assert code_of(some, "team", Level.OWN) == "volume_not_yours"
    for needed in (Level.READ, Level.WRITE, Level.OWN):
        assert code_of(some, "secret", needed) == "volume_unknown"
    some.require(VolumeName.parse("web"), Level.READ)
    some.require(VolumeName.parse("team"), Level.WRITE)


# In the plan of a run ------------------------------------------------------------


def refused(given: Rights, *volumes: str, workspace: str = "default", **args: object) -> str:
    with pytest.raises(HutchError) as error:
        mounts(given, *volumes, workspace=workspace, **args)
    return error.value.code


def mounts(
    given: Rights, *volumes: str, workspace: str = "default", **args: object
) -> tuple[VolumeMount, ...]:
    config = replace(CONFIG, daemon=replace(CONFIG.daemon, workspace=workspace))
    return decide(Wish("id", volumes=volumes, args=args), config, given, shell="/bin/sh", networks=()).volumes


def test_a_plan_mounts_what_is_granted_and_refuses_the_rest() -> None:
    assert [(v.name, v.writable) for v in mounts(GRANTS, "team-a:/a", "data:/b:ro")] == [
        ("team-a", True),
        ("data", False),
    ]
    assert refused(GRANTS, "data") == "volume_read_only"
    assert refused(GRANTS, "my-keys:ro") == "volume_unknown"
    assert refused(GRANTS, "team-a:/a", "other/web:/b:ro") == "volume_unknown"


def test_a_fork_takes_the_right_to_read_the_one_and_to_make_the_other() -> None:
    (mount,) = mounts(GRANTS, "team-new=data@3:/a")
    assert (mount.name, mount.source, mount.at, mount.writable) == ("team-new", "data", "3", True)
    assert refused(GRANTS, "team-new=my-keys:/a") == "volume_unknown"
    assert refused(GRANTS, "team-new=$args[u]:/a", u="my-keys") == "volume_unknown"
    assert refused(GRANTS, "data2=data:/a") == "volume_read_only"
    assert refused(GRANTS, "secret/new=data:/a") == "volume_unknown"


def test_the_rights_are_those_to_the_name_that_a_template_became() -> None:
    assert mounts(GRANTS, "team-$args[u]", u="ada")[0].name == "team-ada"
    assert refused(GRANTS, "$args[u]:ro", u="my-keys") == "volume_unknown"
    assert refused(GRANTS, "$args[u]", u="web@conflict-1") == "argument_invalid"


@pytest.mark.parametrize(
    "volumes",
    [
        ("web:/a", "web:/b"),
        ("web:/a", "default/web:/b"),
        ("web:/a", "$workspace/web:/b:ro"),
        ("web:/a", "$args[u]:/b"),
        ("web:/a", "data:/a"),
        ("web:/a", "data:/a/"),
        ("web:/a", "data://a"),
        ("web:/a", "data:/a/./"),
        ("web:/a", "data:/a/b"),
        ("web:/a/b/c", "data:/a:ro"),
        ("web", "data:/workspace/x:ro"),
    ],
)
def test_no_volume_and_no_place_twice_whatever_its_spelling(volumes: tuple[str, ...]) -> None:
    owner = Rights(is_owner=True)
    assert refused(owner, *volumes, u="web") == "volume_invalid"


def test_one_spelling_leads_to_one_volume_in_any_workspace() -> None:
    """`default/web` is not the `web` of a daemon whose workspace is another."""
    only_default = of({"default/web": "owner"}, "lab")
    assert refused(only_default, "web", workspace="lab") == "volume_unknown"
    assert mounts(only_default, "default/web", workspace="lab")[0].name == "default/web"
    assert mounts(of({"web": "rw"}, "lab"), "lab/web", workspace="lab")[0].name == "web"


def test_a_template_in_a_path_is_refused() -> None:
    owner = Rights(is_owner=True)
    for text in ("web:/$workspace", "web:/a/$args[u]", "$args[u]:/$"):
        assert refused(owner, text, u="ada") == "template_invalid"
