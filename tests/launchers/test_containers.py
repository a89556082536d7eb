"""Containers: what is put into them while they run, images, those started ahead of need, what they leave."""

import os
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import anyio
import pytest

from hutch_launchers.containers.cli import CliEngine, call, run_argv
from hutch_launchers.containers.engine import Container
from hutch_launchers.containers.launcher import ContainerLauncher
from hutch_launchers.containers.pool import close_pools
from hutch_launchers.hierarchy import find_hierarchy
from hutch_launchers.launcher import LauncherError
from hutch_launchers.methods.docker import DockerLauncher
from hutch_launchers.methods.nspawn import NspawnLauncher
from hutch_launchers.methods.podman import PodmanLauncher
from hutch_launchers.spec import Command, Guarantee, Limits, Mount
from support.container_engines import DOCKER_HOST, OWN
from support.launcher_leftovers import nothing_left
from support.launcher_methods import LIMITS, available, code, finish, read_line, run, sh, spec
from support.small_image import small_image

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="mounts are put into running containers by root alone"
)
WARM = DockerLauncher(f"warm-{OWN}", warm=2, host=DOCKER_HOST)


WARM_PLACES = Path("/run/hutch/containers", WARM.name)


@pytest.fixture(params=["docker", "nspawn", "podman"])
async def launcher(request: pytest.FixtureRequest) -> ContainerLauncher:
    return await container_launcher(request.param)


@pytest.fixture(params=["docker", "podman"])
async def engine(request: pytest.FixtureRequest) -> ContainerLauncher:
    """Of those, one with a command line and a record of its containers."""
    return await container_launcher(request.param)


async def container_launcher(method: str) -> ContainerLauncher:
    found = await available(method)
    assert isinstance(found, ContainerLauncher)
    return found


def words(launcher: ContainerLauncher) -> tuple[str, ...]:
    engine = launcher.find().engine
    assert isinstance(engine, CliEngine)
    return engine.words


def tell(launcher: ContainerLauncher, *asked: str) -> str:
    return call([*words(launcher), *asked]).decode()


async def test_every_guarantee_but_a_kernel_is_held(launcher: ContainerLauncher) -> None:
    probe = await launcher.probe()
    assert probe.guarantees == frozenset(Guarantee) - {Guarantee.KERNEL}, probe.evidence


async def test_mounts_are_what_they_say_and_what_is_written_is_the_daemons_own(
    launcher: ContainerLauncher, tmp_path: Path
) -> None:
    (volume := tmp_path / "volume").mkdir()
    (volume / "hooks").mkdir()
    (notes := tmp_path / "notes").write_text("read me")
    mounts = (
        Mount(volume, PurePosixPath("/workspace"), writable=True),
        Mount(volume / "hooks", PurePosixPath("/workspace/hooks")),
        Mount(notes, PurePosixPath("/some/where/notes")),
        Mount(notes, PurePosixPath("/home/agent/.config/tool/notes")),
    )
    script = (
        "cat /some/where/notes ~/.config/tool/notes; echo made > made; touch ~/.config/mine && echo home; "
        "for path in hooks/x /some/x /some/where/notes /etc/hosts /sys/x; do "
        "echo x > $path && echo wrote $path; done"
    )
    done = await run(launcher, spec(sh(script, cwd="/workspace", env={"HOME": "/home/agent"}), mounts=mounts))
    assert (done.text, (volume / "made").read_text()) == ("read meread mehome\n", "made\n")
    assert (volume / "made").stat().st_uid == os.geteuid()
    assert sorted(entry.name for entry in volume.iterdir()) == ["hooks", "made"]
    assert notes.read_text() == "read me"


async def test_a_mount_point_that_is_a_link_leads_nowhere(
    launcher: ContainerLauncher, tmp_path: Path
) -> None:
    (volume := tmp_path / "volume").mkdir()
    (volume / "out").symlink_to("/etc")
    mounts = (
        Mount(volume, PurePosixPath("/workspace"), writable=True),
        Mount(tmp_path, PurePosixPath("/workspace/out")),
    )
    sandbox = spec(sh(":"), mounts=mounts)
    with pytest.raises(LauncherError) as refused:
        await run(launcher, sandbox)
    assert refused.value.code == "sandbox_failed"
    assert nothing_left(sandbox.run_id)


async def test_an_environment_stands_in_no_argv_and_in_no_record_of_the_engine(
    engine: ContainerLauncher,
) -> None:
    command = sh("echo ready; exec sleep 60", env={"TOKEN": "a-planted-secret"})
    async with engine.launch(spec(command)) as process:
        await read_line(process.stdout)
        assert process.pid is not None
        names = tell(engine, "ps", "--format", "{{.Names}}").split()
        assert names
        assert "a-planted-secret" not in tell(engine, "inspect", *names)
        argv = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]
        assert not [words for words in argv if b"a-planted-secret" in words]


async def test_all_of_it_stands_still_in_the_block(launcher: ContainerLauncher) -> None:
    async with launcher.launch(spec(sh("while :; do echo x; sleep 0.005; done"))) as process:
        await read_line(process.stdout)
        async with process.frozen() as still:
            assert still
            with anyio.move_on_after(0.05):
                while True:
                    await process.stdout.receive()
            with pytest.raises(TimeoutError), anyio.fail_after(0.2):
                await process.stdout.receive()
        with anyio.fail_after(5):
            await process.stdout.receive()


async def test_a_hog_is_ended_alone_and_told_so(launcher: ContainerLauncher) -> None:
    hog = "/usr/bin/python3 -I -S -c 'bytearray(400 << 20)'"
    assert (await run(launcher, spec(sh(f"{hog}; echo $?")))).text == "137\n"
    assert (await run(launcher, spec(sh(f"exec {hog}")))).status.limit is Guarantee.MEMORY


async def test_an_image_is_the_root_though_it_has_no_python(
    engine: ContainerLauncher, tmp_path: Path
) -> None:
    call([*words(engine), "import", "-", "hutch-test/small:1"], small_image())
    (tmp_path / "given").write_text("ours\n")
    script = (
        "read -r line < /etc/marker; echo $line; read -r line < /workspace/given; echo $line; "
        "[ -e /usr/bin/python3 ] || echo bare; echo x > /tmp/x && echo private; echo x > /x || echo sealed"
    )
    command = Command(("/bin/sh", "-c", script), PurePosixPath("/workspace"), {})
    sandbox = spec(command, mounts=(Mount(tmp_path, PurePosixPath("/workspace")),))
    done = await run(engine, replace(sandbox, image="hutch-test/small:1"))
    assert done.text.split("\n")[:-1] == ["of the image", "ours", "bare", "private", "sealed"]


async def test_volumes_of_an_image_are_the_sandboxs_own_and_bounded(
    engine: ContainerLauncher,
) -> None:
    change = ["--change", "VOLUME /data", "--change", "VOLUME /opt/more", "--change", "ENTRYPOINT /bin/false"]
    call([*words(engine), "import", *change, "-", "hutch-test/volumes:1"], small_image())
    before = tell(engine, "volume", "ls", "--quiet")
    limits = replace(LIMITS, disk_bytes=16 << 20)
    script = "echo x > /data/x && echo x > /opt/more/x && read -r line < /proc/mounts; "
    script += (
        "while read -r line; do case $line in *' /data '*|*' /tmp '*) echo $line;; esac; done </proc/mounts"
    )
    sandbox = spec(Command(("/bin/sh", "-c", script), PurePosixPath("/"), {}), limits=limits)
    async with engine.launch(replace(sandbox, image="hutch-test/volumes:1")) as process:
        assert process.pid is not None
        done = await finish(process)
        during = tell(engine, "volume", "ls", "--quiet")
    shown = {line.split()[1]: line.split() for line in done.text.splitlines()}
    assert {path: line[2] for path, line in shown.items()} == {"/data": "tmpfs", "/tmp": "tmpfs"}, done
    assert {
        path: next(o for o in line[3].split(",") if o.startswith("size=")) for path, line in shown.items()
    } == {
        "/data": "size=4096k",
        "/tmp": "size=4096k",
    }
    assert before == during


@pytest.mark.parametrize("name", ["--privileged", "sha256:" + "a" * 64, "a b", "", "-v"])
async def test_what_is_no_images_name_is_refused(engine: ContainerLauncher, name: str) -> None:
    with pytest.raises(LauncherError) as refused:
        await run(engine, replace(spec(sh(":")), image=name or "\n"))
    assert (refused.value.code, "no image's name" in refused.value.message) == ("sandbox_failed", True)


async def test_an_image_that_is_not_there_is_refused_and_never_pulled(engine: ContainerLauncher) -> None:
    sandbox = replace(spec(sh(":")), image="example.test/never-was:1")
    with pytest.raises(LauncherError) as refused:
        await run(engine, sandbox)
    assert refused.value.code == "sandbox_failed"
    assert nothing_left(sandbox.run_id)


async def test_no_container_and_no_folder_is_left(launcher: ContainerLauncher) -> None:
    places = Path("/run/hutch/containers", launcher.name)
    async with launcher.launch(spec(sh(":"))) as process:
        (name,) = (place.name for place in places.glob("*"))
        await process.wait()
    assert list(places.glob("*")) == []
    hierarchy = find_hierarchy()
    groups = [folder / name for folder in (hierarchy.folders if hierarchy else ())]
    assert not [path for path in (*groups, Path("/run/systemd/nspawn/propagate", name)) if path.exists()]
    if isinstance(launcher, NspawnLauncher):
        return
    with anyio.fail_after(10):
        while tell(launcher, "ps", "--all", "--quiet", "--filter", f"name={name}"):
            await anyio.sleep(0.05)


@pytest.fixture
async def warm() -> AsyncGenerator[DockerLauncher]:
    await available("docker")
    await run(WARM, spec(sh(":")))
    await until_warm()
    yield WARM
    close_pools()


async def until_warm() -> None:
    folder = WARM_PLACES
    with anyio.fail_after(20):
        while len(list(folder.glob("*/number"))) < WARM.warm:
            await anyio.sleep(0.01)


@needs_root
async def test_a_warm_container_serves_one_run_with_mounts_and_limits_of_its_own(
    warm: DockerLauncher, tmp_path: Path
) -> None:
    folder = WARM_PLACES
    waiting = {int((place / "number").read_text().split()[0]) for place in folder.glob("*")}
    used = set()
    for number in range(2):
        (volume := tmp_path / str(number)).mkdir()
        limits = Limits(
            wall_s=30, memory_bytes=(64 + number) << 20, pids=20 + number, disk_bytes=(8 + number) << 20
        )
        mounts = (Mount(volume, PurePosixPath(f"/volume{number}"), writable=True),)
        script = (
            f"df -k /tmp | tail -1 | awk '{{print $2}}'; echo {number} > /volume{number}/mine; ls -d /volume*"
        )
        async with warm.launch(spec(sh(script), mounts=mounts, limits=limits)) as process:
            assert process.pid is not None
            used.add(process.pid)
            lines = Path(f"/proc/{process.pid}/cgroup").read_text().splitlines()
            group = next(
                line.split(":", 2)[2] for line in lines if ":pids:" in line or line.startswith("0::/docker")
            )
            assert "docker" in group
            told = [await read_line(process.stdout), await read_line(process.stdout)]
            assert (told, await process.wait()) == ([str((8 + number) * 512), f"/volume{number}"], code(0))
        assert (volume / "mine").read_text() == f"{number}\n"
    assert used <= waiting
    assert len(used) == 2


@needs_root
async def test_a_warm_container_is_about_as_quick_as_bubblewrap(warm: DockerLauncher) -> None:
    took = []
    for _ in range(3):
        await until_warm()
        await anyio.sleep(0.2)  # the engine is done with the last one
        begun = time.perf_counter()
        async with warm.launch(spec(sh("echo here"))) as process:
            await read_line(process.stdout)
            took.append(time.perf_counter() - begun)
    assert min(took) < 0.1, took  # 9 ms on an idle machine; a new container takes 200


@needs_root
async def test_a_warm_container_that_ended_is_passed_over(warm: DockerLauncher) -> None:
    for place in WARM_PLACES.glob("*"):
        os.kill(int((place / "number").read_text().split()[0]), 9)
    await anyio.sleep(0.05)
    assert (await run(warm, spec(sh("echo here")))).text == "here\n"


@needs_root
async def test_nothing_warm_is_left_when_the_pools_are_closed(warm: DockerLauncher) -> None:
    close_pools()
    with anyio.fail_after(10):
        while tell(warm, "ps", "--all", "--quiet"):
            await anyio.sleep(0.05)
    assert list(WARM_PLACES.glob("*")) == []


async def test_an_engine_that_is_not_there_is_told_with_its_fix(tmp_path: Path) -> None:
    away = await DockerLauncher(host=f"unix://{tmp_path}/docker.sock").probe()
    assert not away.available
    assert "systemctl start docker" in away.fix or "apt install docker.io" in away.fix
    absent = await PodmanLauncher(command=("no-such-podman",)).probe()
    assert (absent.available, absent.fix) == (False, "install it (Debian, Ubuntu: sudo apt install podman)")


def test_a_daemon_elsewhere_is_no_method() -> None:
    with pytest.raises(ValueError, match="unix socket"):
        DockerLauncher(host="tcp://10.0.0.1:2375")


def test_the_words_of_a_container_are_these() -> None:
    engine = CliEngine(("engine", "--own"), ("--more",))
    container = Container(
        "n",
        "image",
        ("python", "guest"),
        (),
        Path("/run/x"),
        (Mount(Path("/a b"), PurePosixPath("/a")),),
        LIMITS,
    )
    argv = run_argv(engine, container)
    assert argv[:2] == ["engine", "--own"]
    assert argv[-4:] == ["--entrypoint", "python", "image", "guest"]
    line = " ".join(argv)
    for wanted in (
        "--network none --read-only --cap-drop ALL --security-opt no-new-privileges",
        "--pull never",
        "--user 1000:1000",
        "--more",
        f"--memory {128 << 20} --memory-swap {128 << 20} --pids-limit 33 --cpus 1.00",
        "--mount type=bind,source=/a b,target=/a,readonly",
        f"--tmpfs /tmp:rw,exec,nosuid,nodev,mode=1777,size={8 << 20}",
    ):
        assert wanted in line


def test_a_mount_that_would_be_read_as_options_is_refused() -> None:
    mounts = (Mount(Path("/a,readonly=false"), PurePosixPath("/a")),)
    with pytest.raises(LauncherError):
        run_argv(CliEngine(("engine",)), Container("n", "image", ("python",), (), Path("/run/x"), mounts))
