"""What every attack program stands on, inside the sandbox: one child a try, verdicts, raw system calls.

Standard library only, and no word from the host but one JSON object in argv. An attack that returns has
worked; one that raises OSError or `Contained` was held. Any other exception is a mistake of the program, and
counts as a failure.
"""

import ctypes
import errno
import json
import os
import platform
import select
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

Body = Callable[[], object]

_TRY_S = 8.0  # an attack that hangs has not been refused
_REFUSALS = frozenset(
    {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EROFS, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT}
)

FACTS: dict[str, Any] = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
_TRIES: list[tuple[str, str, Body]] = []

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
IS_X86 = platform.machine() == "x86_64"


class Contained(Exception):  # noqa: N818 - the good end, not an error
    """The attack was held, and this says by what."""


class Missed(Exception):  # noqa: N818 - a verdict
    """The attack worked, or nothing refused it; this says what was seen."""


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
    """Make every try in a child of its own and print one JSON line for each."""
    for case, kind, body in _TRIES:
        verdict, detail = _in_child(kind, body)
        line = {"case": case, "kind": kind, "name": body.__name__, "ok": verdict, "detail": detail}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def _in_child(kind: str, body: Body) -> tuple[bool, str]:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        signal.alarm(int(_TRY_S) + 2)
        os.write(writer, json.dumps(_judge(kind, body)).encode()[:4000])
        os._exit(0)
    os.close(writer)
    ready, _, _ = select.select([reader], [], [], _TRY_S)
    said = os.read(reader, 4096) if ready else None
    os.close(reader)
    if said is None:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if said:
        verdict, detail = json.loads(said)
        return bool(verdict), str(detail)
    if said is None:
        return False, "no end after some seconds"
    ended_by = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "exit"
    return kind == "attack" and os.WIFSIGNALED(status), f"ended by {ended_by}"


def _judge(kind: str, body: Body) -> tuple[bool, str]:
    try:
        said = body()
    except Contained as held:
        return kind == "attack", str(held)
    except OSError as error:
        return kind == "attack", f"{errno.errorcode.get(error.errno or 0, '?')}: {error}"
    except Exception as error:  # noqa: BLE001 - a verdict for the host, whatever it was
        return False, f"{type(error).__name__}: {error}"
    return kind == "allowed", "worked" if said is None else str(said)[:500]
