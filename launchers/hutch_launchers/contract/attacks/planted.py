"""Attacks on secrets: what was planted outside is looked for everywhere inside."""

import os
import resource
from hashlib import sha256
from pathlib import Path

from hutch_launchers.contract.attacks.inside import FACTS, Contained, allowed, attack


@attack("secrets/planted")
def anywhere_in_the_environment_or_proc() -> str | None:
    secret = FACTS["secret_digest"]
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            content = entry.read_bytes()
        except OSError:
            continue
        if any(_digest(word.partition(b"=")[2]) == secret for word in content.split(b"\0")):
            return str(entry)
    raise Contained("in no environment")


@attack("secrets/planted")
def anywhere_in_a_file() -> str | None:
    for folder in ("/etc", "/run", "/tmp", "/home", "/opt", "/dev/shm", "/var", "/root"):
        for root, _, files in os.walk(folder):
            for name in files:
                path = Path(root, name)
                if path.is_file() and not path.is_symlink() and _holds_it(path):
                    return str(path)
    raise Contained("in no file")


@attack("secrets/planted")
def a_core_dump_is_left() -> str | None:
    core = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if soft == hard == 0:
        raise Contained("the core limit is 0 and hard")
    return f"limits {soft} {hard}, pattern {core}"


@attack("secrets/planted")
def what_the_daemon_inherited() -> str | None:
    given = {
        "HOME",
        "USER",
        "LOGNAME",
        "PATH",
        "LANG",
        "TERM",
        "PWD",
        "LC_CTYPE",
        "SHLVL",
        "_",
        "OLDPWD",
        "TMPDIR",
    }
    more = set(os.environ) & set(FACTS["host_environment"]) - given
    if more:
        return f"beside what is given: {sorted(more)}"
    raise Contained("the environment holds only what is given")


@allowed("secrets/planted")
def the_given_environment_is_there() -> None:
    assert os.environ["HUTCH_GIVEN"] == "given"


def _holds_it(path: Path) -> bool:
    try:
        return any(_digest(word) == FACTS["secret_digest"] for word in path.read_bytes()[: 1 << 20].split())
    except OSError:
        return False


def _digest(word: bytes) -> str:
    return sha256(word).hexdigest()
