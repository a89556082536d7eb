"""What every attack program stands on, inside the sandbox: one child a try, verdicts, raw system calls.

Standard library only, and no word from the host but one JSON object in argv. An attack that returns has
worked; one that raises OSError or `Contained` was held. Any other exception is a mistake of the program, and
counts as a failure. One that stands on a mount which the method does not show raises `Absent`, and is not
counted.
"""

import ctypes
import errno
import json
import os
import platform
import select
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import groupby
from typing import Any, NoReturn

Body = Callable[[], object]

_REFUSALS = frozenset(
    {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EROFS, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT}
)

FACTS: dict[str, Any] = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
_TRY_S: float = FACTS.get("try_s", 8.0)  # an attack that hangs has not been refused
OUT = FACTS.get("out", "/nowhere")  # a host folder outside all grants, with a file `canary` in it
HOME = os.environ.get("HOME", "/nowhere")
# where the method shows what is granted; without a volume a private folder stands for it
VOL = os.environ.get("HUTCH_VOLUME") or (tempfile.mkdtemp() if FACTS else "/nowhere")
_WORKSPACE = os.environ.get("HUTCH_WORKSPACE", "")
SHOWN = tuple(path for path in (_WORKSPACE, VOL) if path)
_TRIES: list[tuple[str, str, Body]] = []
_FLAT: set[Body] = set()  # single calls, which leave nothing behind: many may share a child

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
IS_X86 = platform.machine() == "x86_64"


class Contained(Exception):  # noqa: N818 - the good end, not an error
    """The attack was held, and this says by what."""


class Missed(Exception):  # noqa: N818 - a verdict
    """The attack worked, or nothing refused it; this says what was seen."""


class Absent(Exception):  # noqa: N818 - a verdict
    """The try stands on what the method does not show, and was not made."""


def workspace(name: str = "") -> str:
    """Where something in the granted workspace is. Raises Absent where there is none."""
    if not _WORKSPACE:
        raise Absent("no workspace is shown")
    return os.path.join(_WORKSPACE, name) if name else _WORKSPACE


def supervisor() -> str:
    """Where process 1 is in /proc. Raises Contained where it is a process of the sandbox like any other."""
    try:
        is_own = os.readlink("/proc/1/ns/mnt") == os.readlink("/proc/self/ns/mnt")
    except OSError:
        return "/proc/1"
    if is_own:
        raise Contained("process 1 is one of the sandbox's own, with its rights and its view")
    return "/proc/1"


def program_of_pid_1() -> str:
    """Where the program of process 1 is. Raises Contained where the sandbox is shown that file anyway."""
    link = "/proc/1/exe"
    try:
        shown = os.path.samefile(link, os.readlink(link))
    except OSError:
        return link
    if shown:
        raise Contained(f"it is {os.readlink(link)}, which is shown")
    return link


def needs_sockets() -> None:
    """Raise Absent where the method gives no sockets: then there is nothing that could still work."""
    try:
        socket.socket(socket.AF_UNIX).close()
    except OSError as error:
        raise Absent("a sandbox of this method has no sockets") from error


def attack(case: str) -> Callable[[Body], Body]:
    """Mark a try that must be held for `case`."""
    return _register(case, "attack")


def allowed(case: str) -> Callable[[Body], Body]:
    """Mark the neighbour of an attack that must still work."""
    return _register(case, "allowed")


def _register(case: str, kind: str) -> Callable[[Body], Body]:
    def register(body: Body) -> Body:
        _TRIES.append((case, kind, body))
        return body

    return register


def syscall(number: int, *arguments: object) -> int:
    """Make a system call by number. Raises OSError."""
    words = [ctypes.c_ulong(a & (2**64 - 1)) if isinstance(a, int) else a for a in arguments]
    result: int = _libc.syscall(ctypes.c_long(number), *words)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def denied(number: int, *arguments: object) -> NoReturn:
    """Make a system call that must be refused as such: an error about its arguments means it came through."""
    try:
        result = syscall(number, *arguments)
    except OSError as error:
        if error.errno in _REFUSALS:
            raise
        name = errno.errorcode.get(error.errno or 0, "?")
        raise Missed(f"system call {number} was looked at and not refused: {name}") from error
    raise Missed(f"system call {number} returned {result}")


def flat(case: str, name: str, number: int | None, *arguments: object) -> None:
    """Register an attack that is a single system call; without a number on this machine there is none."""
    if number is None:
        return

    def body() -> NoReturn:
        denied(number, *arguments)

    body.__name__ = name
    _FLAT.add(body)
    attack(case)(body)


def each_refused(*bodies: Body) -> NoReturn:
    """Try each; all must be refused."""
    for number, body in enumerate(bodies):
        try:
            body()
        except OSError:
            continue
        raise Missed(f"number {number} of {len(bodies)} worked")
    raise Contained(f"all {len(bodies)} are refused")


def main() -> None:
    """Make every try and print one JSON line for each, after one that names them all."""
    asked = FACTS.get("cases")
    wanted = [one for one in _TRIES if asked is None or one[0] in asked]
    _tell({"planned": [[case, kind, body.__name__] for case, kind, body in wanted]})
    for is_flat, tries in groupby(wanted, lambda one: one[2] in _FLAT):
        for together in [list(tries)] if is_flat else [[one] for one in tries]:
            _make(together)


def _tell(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _make(tries: list[tuple[str, str, Body]]) -> None:
    """Make tries in one child; if it does not come to its end, each in a child of its own."""
    verdicts, end = _in_child(tries)
    if len(verdicts) < len(tries) and len(tries) > 1:
        for one in tries:
            _make([one])
        return
    for (case, kind, body), (verdict, detail) in zip(tries, verdicts or [end], strict=True):
        _tell({"case": case, "kind": kind, "name": body.__name__, "verdict": verdict, "detail": detail})


def _in_child(tries: list[tuple[str, str, Body]]) -> tuple[list[tuple[str, str]], tuple[str, str]]:
    """The verdicts that a child told, and what its own end says of a try that it did not tell of."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        signal.alarm(int(_TRY_S) + 2)
        with open(writer, "w", encoding="utf-8") as told:
            told.writelines(json.dumps(_judge(kind, body)) + "\n" for _, kind, body in tries)
        os._exit(0)
    os.close(writer)
    said, has_ended = _read_until_end(reader)
    if not has_ended:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    whole = said.rpartition("\n")[0].splitlines()
    verdicts = [(str(verdict), str(detail)) for verdict, detail in map(json.loads, whole)]
    if not has_ended:
        return verdicts, ("failed", "no end after some seconds")
    was_killed = os.WIFSIGNALED(status)
    ended_by = signal.Signals(os.WTERMSIG(status)).name if was_killed else "exit"
    return verdicts, (_verdict(tries[0][1] == "attack" and was_killed), f"ended by {ended_by}")


def _read_until_end(reader: int) -> tuple[str, bool]:
    """What was told, and whether all who could tell have ended in time."""
    said, until = b"", time.monotonic() + _TRY_S
    with open(reader, "rb", buffering=0) as told:
        while select.select([told], [], [], max(until - time.monotonic(), 0))[0]:
            part = told.read(65536)
            if not part:
                return said.decode(), True
            said += part
    return said.decode(), False


def _judge(kind: str, body: Body) -> tuple[str, str]:
    try:
        said = body()
    except Absent as absent:
        return "absent", str(absent)
    except Contained as held:
        return _verdict(kind == "attack"), str(held)
    except OSError as error:
        return _verdict(kind == "attack"), f"{errno.errorcode.get(error.errno or 0, '?')}: {error}"
    except Exception as error:  # noqa: BLE001 - a verdict for the host, whatever it was
        return "failed", f"{type(error).__name__}: {error}"
    return _verdict(kind == "allowed"), "worked" if said is None else str(said)[:500]


def _verdict(is_as_it_must_be: bool) -> str:  # noqa: FBT001 - its only word
    return "as it must be" if is_as_it_must_be else "failed"
