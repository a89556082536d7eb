"""How a script is started: what its main takes, and what it is given; told before anything starts."""

import json
from contextlib import suppress
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutch.errors import HutchError
from hutch.scripts import Script, Started, start

GIVEN = PurePosixPath("/given")


def started(text: str, name: str = "x.py", **args: object) -> Started:
    return start(Script(name, text), args, (), GIVEN)


def call(made: Started) -> dict[str, object]:
    found: dict[str, object] = json.loads(made.given["script/call.json"])
    return found


def refused(text: str, name: str = "x.py", **args: object) -> str:
    with pytest.raises(HutchError) as error:
        started(text, name, **args)
    assert error.value.code in ("argument_invalid", "script_invalid")
    return f"{error.value.message}; {error.value.hint}"


def test_a_script_is_given_as_it_is_under_its_own_name() -> None:
    made = started("def main(a, b=1): ...\n", "report.py", a="x")
    line = 'exec python3 "$HUTCH_SCRIPT/python.py" "$@"'
    assert made.argv == ("sh", "-c", line, "python3", "main", "Python")
    assert made.env == {"HUTCH_SCRIPT": "/given/script"}
    assert made.given["script/of/report.py"] == b"def main(a, b=1): ...\n"
    assert call(made)["args"] == {"a": "x"}
    assert made.has_result


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.py", "async def main(a, *, b, c=1): ..."),
        ("x.ts", "export async function main(a: string, b: Map<string, number>, c = (1, 2), d?: {x: 1}) {}"),
        ("x.js", "export const main = async (a, b, c = ')') => a"),
        ("x.mjs", "export default function main(a, /* x, */ b, // y, z\n c = `,`) {}"),
        ("x.sh", 'a="$1"\nlocal b=$2\nexport c="${3:-7}"\nd=${4-x}\n'),
    ],
)
def test_what_main_takes_is_read_from_the_text(name: str, text: str) -> None:
    assert started(text, name, a="1", b="2").has_result
    assert "main needs an argument 'b'" in refused(text, name, a="1")
    said = refused(text, name, a="1", b="2", other="3")
    assert "main does not take an argument 'other'" in said
    assert "it takes a, b, c" in said


def test_an_argument_for_a_volume_alone_is_not_mains() -> None:
    made = start(Script("x.py", "def main(a): ..."), {"a": "1", "user": "ada"}, {"user"}, GIVEN)
    assert call(made)["args"] == {"a": "1"}


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("int", "5", "main takes whole number as 'a', not text; write it --arg a:=JSON"),
        ("str", 5, "main takes text as 'a', not whole number; write it --arg a=TEXT"),
        ("list[str]", {}, "main takes list as 'a', not object"),
        ("bool", 1, "main takes true or false as 'a', not whole number"),
    ],
)
def test_a_plain_annotation_is_held_to(kind: str, value: object, said: str) -> None:
    assert said in refused(f"def main(a: {kind}): ...", a=value)


@pytest.mark.parametrize("value", ["x", 5, None, [1]])
def test_other_annotations_are_the_scripts_own(value: object) -> None:
    for kind in ("str | None", "'int'", "Literal[1]", "Any"):
        assert call(started(f"def main(a: {kind}): ...", a=value))["args"] == {"a": value}


@pytest.mark.parametrize(
    "text",
    [
        "from other import main",
        "main = make()",
        "@wrapped\ndef main(): ...",
        "if True:\n    def main(): ...",
        "def main(a, /): ...",
        "def main(: new syntax",
    ],
)
def test_a_main_that_only_running_tells_of_is_left_to_be_called(text: str) -> None:
    made = started(text, a=1, b=2)
    assert made.has_result
    assert call(made)["args"] == {"a": 1, "b": 2}


@pytest.mark.parametrize(("name", "text"), [("x.py", "print(1)"), ("x.js", "console.log(1)")])
def test_a_script_without_a_main_is_a_program(name: str, text: str) -> None:
    assert not started(text, name).has_result
    assert "x has no main" in refused(text, name, a=1).replace(name, "x")


def test_arguments_of_javascript_have_their_order_and_one_object_takes_them_all() -> None:
    assert call(started("export function main(a, b = 2) {}", "x.js", b=1, a=2))["order"] == ["a", "b"]
    assert call(started("export function main({ a, b } = {}) {}", "x.js", b=1, other=2))["order"] is None
    for text in ("export { main }", "export const main = x => x", "export function main(a, { b }) {}"):
        assert "cannot be read" in refused(text, "x.js")


def test_arguments_of_bash_stand_in_their_places() -> None:
    text = 'a="$1"\nb="${2:-x}"\nc="$3"\n'
    made = started(text, "x.sh", a={"k": [1, True]}, c=None)
    assert made.given["script/words"] == b'{"k": [1, true]}\0\0\0'
    assert started('a="$1"\nb="${2:-x}"', "x.sh", a="é").given["script/words"] == "é\0".encode()
    assert "a NUL" in refused(text, "x.sh", a="a\0b", c="")


def test_what_is_too_large_is_refused() -> None:
    assert "over 1 MiB" in refused("def main(a): ...", a="x" * (1 << 20))
    assert "over 1 MiB" in refused("#" * (1 << 20) + "\n")
    assert "known here" in refused("", "x.rb")
    for name in ("..py", "a\0.py", "é" * 120 + ".py"):
        assert "no script can be called" in refused("", name)


@pytest.mark.parametrize("part", ["export const main ", "export {", "export function main<", "export  "])
def test_a_script_that_is_made_to_be_read_slowly_is_not(part: str) -> None:
    text = (part + "\n") * ((1 << 20) // len(part) // 2)
    with suppress(HutchError):
        started(text, "x.ts")


def test_a_string_of_endless_fields_is_left_to_the_python_inside() -> None:
    text = "def main(a): ...\nf'" + "{a}" * 300_000 + "'"
    made = started(text, b=1)  # of what `main` takes nothing is known
    assert (made.has_result, call(made)["args"]) == (True, {"b": 1})


@given(st.text(max_size=400), st.sampled_from(["x.py", "x.ts", "x.sh"]))
def test_any_text_is_started_or_refused(text: str, name: str) -> None:
    for said in (text, f"export function main({text}", f"def main({text}"):
        with suppress(HutchError):
            assert started(said, name).argv
