"""Finds the script in a conversation, and the step that comes next. `scripted_model.py` lists its words."""

import json
import shlex
from collections import Counter
from dataclasses import dataclass

from scripted_model_wire import Call, Json, Tool

MARKER = "SCRIPT:"
CALLS = {"shell", "write", "tool"}
KINDS = {"text", "error", "hang", "cut"} | CALLS
WRITES = {"Write": "file_path", "write": "filePath", "write_file": "file_path"}  # tool -> its path's name
INJECTED = ("<", "# AGENTS.md")  # how the texts begin that agents add to a prompt of their own accord


class ScriptError(ValueError):
    """A script that cannot be read; the agent gets it as HTTP 400, which ends its turn at once."""


# What was asked ------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """One thing that reached the model: a person's prompt or a tool's result."""

    is_result: bool
    text: str


def plain(content: object) -> str:
    """Text content in any of its spellings, as one string."""
    if isinstance(content, list):
        return "\n".join(plain(part) for part in content)
    return str(content.get("text", "")) if isinstance(content, dict) else str(content or "")


def heard(body: Json) -> list[Said]:
    """The conversation without the model's own part and without what agents inject."""
    said = []
    for item in [*body.get("messages", []), *body.get("input", []), *body.get("contents", [])]:
        if str(item.get("type", "")).endswith("_output"):
            said.append(Said(is_result=True, text=plain(item.get("output"))))
        elif item.get("role") == "tool":
            said.append(Said(is_result=True, text=plain(item.get("content"))))
        elif item.get("role") == "user":
            content = item["parts"] if "parts" in item else item["content"]
            said += [_said(part) for part in (content if isinstance(content, list) else [content])]
    return [s for s in said if s.is_result or (s.text and not s.text.lstrip().startswith(INJECTED))]


def _said(part: object) -> Said:
    if isinstance(part, dict) and "functionResponse" in part:  # Google
        return Said(is_result=True, text=json.dumps(part["functionResponse"].get("response")))
    if isinstance(part, dict) and part.get("type") == "tool_result":  # Anthropic
        return Said(is_result=True, text=plain(part.get("content")))
    return Said(is_result=False, text=plain(part))


def offered(body: Json) -> list[Tool]:
    listed = list(body.get("tools") or [])
    for item in body.get("input", []):
        if item.get("type") == "additional_tools":  # newer Codex models
            listed += item["tools"]
    tools = []
    for tool in listed:
        if tool.get("type") == "namespace":
            group = "" if tool["name"] == "functions" else tool["name"]
            tools += [Tool(inner["name"], group) for inner in tool["tools"]]
        elif "functionDeclarations" in tool:  # Google
            tools += [Tool(inner["name"]) for inner in tool["functionDeclarations"]]
        else:  # chat completions wrap their functions
            said = tool.get("function", tool)
            tools.append(Tool(said.get("name") or said.get("type", "")))
    return tools


# What comes next -----------------------------------------------------


def next_step(body: Json, given: Counter[str]) -> Json:
    """The step that answers this request; `given` counts how often each fault was."""
    if not offered(body):
        return {"text": "A short text."}
    said = heard(body)
    steps, results = script_of(said)
    for n, step in enumerate(steps):
        if step.keys() & CALLS:
            if results == 0:
                return step
            results -= 1
        elif results == 0:
            key = f"{n} {steps if step.get('in_all') else [len(said), steps]}"
            given[key] += 1
            if given[key] <= step.get("times", given[key]):
                return step
            del given[key]  # the same conversation, held again, meets the same faults
    return {"text": "The script has ended."}


def script_of(said: list[Said]) -> tuple[list[Json], int]:
    """The steps of the newest script, and how many tool results have come since."""
    for n, one in reversed(list(enumerate(said))):
        if not one.is_result and MARKER in one.text:
            return read_script(one.text.partition(MARKER)[2]), sum(s.is_result for s in said[n:])
    prompts = [n for n, one in enumerate(said) if not one.is_result]
    if not prompts:
        return [{"text": "There is no prompt."}], 0
    steps = friendly_turn([said[n].text for n in prompts])
    return steps, sum(one.is_result for one in said[prompts[-1] :])


def read_script(text: str) -> list[Json]:
    try:
        steps, _ = json.JSONDecoder().raw_decode(text.lstrip())
    except ValueError as error:
        raise ScriptError(f"behind {MARKER} stands no JSON list: {error}") from error
    for step in steps if isinstance(steps, list) else [steps]:
        if not isinstance(step, dict) or not step.keys() & KINDS:
            raise ScriptError(f"a step has one of {', '.join(sorted(KINDS))}; this one has not: {step}")
    return list(steps)


def friendly_turn(prompts: list[str]) -> list[Json]:
    tasks = [" ".join(prompt.split())[:200] for prompt in prompts]
    note = shlex.quote(f"{len(tasks)}. {tasks[-1]}")
    memory = f" The turn before, you asked: {tasks[-2]}" if len(tasks) > 1 else ""
    return [
        {"say": "I look around first.", "shell": "pwd && ls -A"},
        {"say": "I note the task.", "shell": f"printf '%s\\n' {note} >> NOTES.md && cat NOTES.md"},
        {"text": f"Your task stands in NOTES.md. This is turn {len(tasks)} of our conversation.{memory}"},
    ]


# How it is done ------------------------------------------------------


def call_of(step: Json, tools: list[Tool]) -> Call | None:
    if "shell" in step:
        return shell_call(step["shell"], tools)
    if "write" in step:
        path, content = step["write"], step.get("content", "")
        for name, key in WRITES.items():
            if any(tool.name == name for tool in tools):
                return Call(Tool(name), {key: path, "content": content})
        return shell_call(f"printf '%s' {shlex.quote(content)} > {shlex.quote(path)}", tools)
    if "tool" in step:
        name = step["tool"]
        fits = (t for t in tools if t.full_name == name or t.full_name.endswith(f"__{name}"))
        return Call(next(fits, _split(name)), step.get("args", {}))
    return None


def _split(name: str) -> Tool:
    """A tool that was not offered: some agents hold back those of MCP servers until they are searched for."""
    prefix, _, rest = name.removeprefix("mcp__").partition("__")
    return Tool(rest, f"mcp__{prefix}") if rest and name.startswith("mcp__") else Tool(name)


def shell_call(command: str, tools: list[Tool]) -> Call:
    arguments: dict[str, Json | str] = {
        "Bash": {"command": command, "description": "A scripted step"},
        "bash": {"command": command, "description": "A scripted step"},  # OpenCode
        "run_shell_command": {"command": command, "description": "A scripted step"},  # Gemini CLI
        "exec_command": {"cmd": command},
        "shell_command": {"command": command},
        "shell": {"command": ["bash", "-lc", command]},
        "exec": f"text(await tools.exec_command({{cmd: {json.dumps(command)}}}));",  # Codex's code mode
    }
    tool = next((t for name in arguments for t in tools if t.name == name), Tool("Bash"))
    return Call(tool, arguments[tool.name])
