"""What to do about an error, in the words of whoever reads it.

The daemon says its hints as a person at a terminal would act on them: `hutch volume log web`. A model has
tools instead.
"""

import re

# Where what to do is another thing altogether
_BY_CODE = {"path_exists": 'use mode="overwrite" or "append"'}
_NAME = r"([\w.@/-]+)"
_TOOLS = tuple(
    (re.compile(pattern), tool)
    for pattern, tool in (
        (rf"`?hutch volume ls {_NAME} --at (\d+)`?", r'read_volume(volume="\1", snapshot="\2")'),
        (rf"`?hutch volume ls {_NAME}`?", r'read_volume(volume="\1")'),
        (r"`?hutch volume ls`?", "list_volumes()"),
        (rf"`?hutch volume (?:log|stat) {_NAME}`?", r'list_volumes(volume="\1")'),
        (r"`?hutch run --session (s-\w+)`?", r'run_in_sandbox(session_id="\1", …)'),
        (r"`?hutch ps( --all)?`?", "list_sessions()"),
        (r"`?hutch sessions`?", "list_sessions()"),
        (r"`?hutch stop (r-\w+)`?", r'stop_run(run_id="\1")'),
        (r"`?hutch stop (s-\w+)`?", r'stop_session(session_id="\1")'),
        (r"--net ([\w.:-]+\w)", r'network="\1"'),
    )
)
# Of what is left, only a person can do it
_COMMAND = re.compile(r"\bhutch [a-z]")


def hint_for_tools(code: str, hint: str) -> str:
    """The same hint for a caller of the tools."""
    if code in _BY_CODE:
        return _BY_CODE[code]
    hint = in_tools(hint)
    return f"for the user: {hint}" if _COMMAND.search(hint) else hint


def in_tools(text: str) -> str:
    """The same text, its commands as calls of the tools where there are such."""
    for pattern, tool in _TOOLS:
        text = pattern.sub(tool, text)
    return text
