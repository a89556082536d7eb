"""Container methods under test, and their engines' own command lines."""

from hutch_launchers.containers.cli import CliEngine, call
from hutch_launchers.containers.launcher import ContainerLauncher
from support.launcher_methods import available


async def container_launcher(method: str) -> ContainerLauncher:
    """The launcher; skips the test where the host lacks the method."""
    found = await available(method)
    assert isinstance(found, ContainerLauncher)
    return found


def words(launcher: ContainerLauncher) -> tuple[str, ...]:
    """Of the engine's command, before what is asked of it."""
    engine = launcher.find().engine
    assert isinstance(engine, CliEngine)
    return engine.words


def tell(launcher: ContainerLauncher, *asked: str) -> str:
    return call([*words(launcher), *asked]).decode()
