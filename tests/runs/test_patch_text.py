"""How a file's content changed, where a sandbox wrote both to harm whoever compares them."""

from hutch.runs.volume_service.patch_text import PatchText, patch_text


def test_a_name_with_a_line_end_says_nothing_of_other_files() -> None:
    made = patch_text("/x\n+++ b/other", None, b"one\n")
    assert made == PatchText('--- /dev/null\n+++ "b/x\\n+++ b/other"\n@@ -0,0 +1 @@\n+one\n', 1, 0)


def test_lines_that_are_alike_in_another_order_are_given_up_at_once() -> None:
    old = "".join(f"k{number % 51}\na{number}\n" for number in range(2000))
    new = "".join(f"k{number * 7 % 51}\nb{number}\n" for number in range(2000))
    assert patch_text("/x", old.encode(), new.encode()) == PatchText(note="too many lines that are alike")


def test_hundreds_of_places_in_a_long_file_are_compared() -> None:
    old = [f"line {number}\n\n}}\n" for number in range(900)]
    new = [line.upper() if number % 3 == 0 else line for number, line in enumerate(old)]
    made = patch_text("/x", "".join(old).encode(), "".join(new).encode())
    assert (made.added, made.deleted, made.note) == (300, 300, "")
