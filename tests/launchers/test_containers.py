"""Containers: what is put into them while they run, images, what they leave."""

import os
from dataclasses import replace
from pathlib import Path, PurePosixPath

import anyio
import pytest

from hutch_launchers.containers.cli import CliEngine, call, run_argv
from hutch_launchers.containers.engine import Container
from hutch_launchers.containers.launcher import ContainerLauncher
from hutch_launchers.hierarchy import find_hierarchy
from hutch_launchers.launcher import LauncherError
from hutch_launchers.methods.docker import DockerLauncher
from hutch_launchers.methods.nspawn import NspawnLauncher
from hutch_launchers.methods.podman import PodmanLauncher
from hutch_launchers.spec import Command, Guarantee, Mount
from support.held_still import is_silent
from support.launcher_containers import container_launcher, tell, words
from support.launcher_leftovers import nothing_left
from support.launcher_methods import LIMITS, finish, read_line, run, sh, spec
from support.small_image import small_image
from support.streams import LONG_S, until


@pytest.fixture(params=["docker", "nspawn", "podman"])
async def launcher(request: pytest.FixtureRequest) -> ContainerLauncher:
    return await container_launcher(request.param)


@pytest.fixture(params=["docker", "podman"])
async def engine(request: pytest.FixtureRequest) -> ContainerLauncher:
    """Of those, one with a command line and a record of its containers."""
    return await container_launcher(request.param)


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
        with anyio.fail_after(LONG_S):
            while not await is_silent(process, 0.2):
                pass
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
    await until(lambda: not tell(launcher, "ps", "--all", "--quiet", "--filter", f"name={name}"))


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
