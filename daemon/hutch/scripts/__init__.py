"""Annotated scripts: what the comments at their head ask for, and how their `main` is called inside.

    language = language_of("report.py")                     # HutchError script_invalid
    for said in read_head(text, "report.py", language.comment, WORDS): ...    # each with its line
    started = start(Script("report.py", text), args, elsewhere, GIVEN)    # script_invalid, argument_invalid
    read_result(stdout, language)                           # HutchError result_invalid

Pure: nothing is started, and nothing of a script is run or imported on this host.
"""

from hutch.scripts.head import Annotation, read_head
from hutch.scripts.languages import language_of
from hutch.scripts.result import MAX_RESULT, read_result
from hutch.scripts.start import Script, Started, start

__all__ = [
    "MAX_RESULT",
    "Annotation",
    "Script",
    "Started",
    "language_of",
    "read_head",
    "read_result",
    "start",
]
