"""`hutch volume put`: files and folders into a volume, with modes and times, as one snapshot."""

import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterable, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path

import anyio
import click
from anyio import from_thread, to_thread

from hutch.cli.invocation import Invocation
from hutch.cli.output import json_option, note, print_json
from hutch.cli.volume.arguments import name_argument, path_argument
from hutch.cli.waiting import Carried, shown_waiting
from hutch.errors import HutchError
from hutch_mcp_tools.service import SandboxService
from hutch_mcp_tools.volume_records import ImportRequest, SnapshotRecord

_UNDER_WAY = 8  # pieces of an archive in memory


@click.command()
@name_argument
@path_argument
@click.argument("source", type=click.Path(path_type=Path), default="-")
@click.option(
    "-r", "--recursive", is_flag=True, help="Put a folder: what is in it comes into the folder PATH."
)
@click.option("--create", is_flag=True, help="Refuse to replace a file.")
@click.option("-x", "--executable", is_flag=True, help="Let the file be run.")
@json_option
@click.pass_obj
def put(
    invocation: Invocation,
    /,
    *,
    name: str,
    path: str,
    source: Path,
    recursive: bool,
    create: bool,
    executable: bool,
    as_json: bool,
) -> None:
    """Copy SOURCE, a file, a folder, or standard input, to PATH of volume NAME, as one snapshot.

    The volume is made if there is none. A PATH that ends with / is a folder to put a file into.
    """
    if recursive and executable:
        raise click.UsageError("-x is for a file; a folder's programs stay programs")
    _refuse_path_of_host(path)  # before any input is waited for
    with ExitStack() as stack:
        if str(source) == "-":
            source = stack.enter_context(_spooled())
            named = "standard input"
        else:
            named = str(source)
        into = _checked(path, source, named, recursive=recursive)

        async def work(service: SandboxService) -> SnapshotRecord | None:
            async with shown_waiting(f"putting {named} into volume {name}") as waiting:
                carried = Carried(waiting, "putting")
                request = ImportRequest(volume=name, path=into[0], replaces=not create)
                async with _packed(source, into[1], carried, executable=executable) as data:
                    return await service.import_volume(request, data)

        made = invocation.call(work)
    if as_json:
        print_json(made or {"snapshot": None, "changes": 0})
    elif made is None:
        note(f"volume {name}: nothing changed")
    else:
        note(f"volume {name}: snapshot {made.snapshot}, {made.changes} changed")


def _refuse_path_of_host(path: str) -> None:
    if not path:
        raise HutchError("path_invalid", "an empty PATH names nothing in a volume", "its root is: /")
    if path.startswith(("./", "../")):
        raise HutchError(
            "path_invalid",
            f"{path!r} is no PATH in a volume",
            f"of this host? Then it is the SOURCE: hutch volume put NAME / {path}",
        )


@contextmanager
def _spooled() -> Generator[Path]:
    """Standard input as a file, for its length must be known before it is sent."""
    if sys.stdin.isatty():
        note("reading standard input; Ctrl-D ends it")
    with tempfile.TemporaryDirectory(prefix="hutch-") as folder:
        path = Path(folder) / "input"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
        path.chmod(0o644)
        yield path


def _checked(path: str, source: Path, named: str, *, recursive: bool) -> tuple[str, str | None]:
    """The folder of the volume to put it into, and the file's name there; None: the source is a folder."""
    if not source.exists():
        raise HutchError("file_missing", f"{named} does not exist", "name a file or folder of this host")
    if source.is_dir():
        if not recursive:
            raise HutchError("path_invalid", f"{named} is a folder", "put all that is in it: -r")
        return path, None
    folder, _, name = path.rpartition("/")
    name = name or source.name
    if named == "standard input" and path.endswith("/"):
        raise HutchError("path_invalid", f"{path!r} is a folder", "name the file that the input becomes")
    return folder or "/", name


@asynccontextmanager
async def _packed(
    source: Path, name: str | None, carried: Carried, *, executable: bool
) -> AsyncGenerator[AsyncIterable[bytes]]:
    """The archive of a folder, or of a file under its name there, made as it is asked for."""
    from hutch.volumes.transfer.archive_writer import write_file, write_folder

    send, receive = anyio.create_memory_object_stream[bytes](_UNDER_WAY)

    async def pass_on(piece: bytes) -> None:
        await send.send(piece)
        carried.more(len(piece))

    def take(piece: bytes) -> None:
        from_thread.run(pass_on, piece)

    async def pack() -> None:
        with send, suppress(anyio.BrokenResourceError):  # whoever takes it no more says why
            if name is None:
                left_out = await to_thread.run_sync(write_folder, source, take)
                for path in left_out:
                    note(f"left out: {path} is no file, folder or link")
            else:
                more = 0o111 if executable else 0
                await to_thread.run_sync(write_file, source, name, take, more)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pack)
        with receive:
            yield receive
