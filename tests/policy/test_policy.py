"""What a wish gets by the policy: commands, volumes, workspaces, limits, images."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutch.config import Limits, Method
from hutch.errors import HutchError
from hutch.mounts import VolumeMount
from hutch.policy import Wish, command_for, shown
from hutch.workspaces import GrantedWorkspace, Mode
from hutch_launchers.spec import Guarantee
from support.plans import CONFIG, code_of, plan_for

POLICY = CONFIG.policy


def test_by_default_there_is_no_network_no_volume_and_a_home_of_ones_own() -> None:
    plan = plan_for(Wish(command="id"))
    assert not plan.network
    assert plan.volumes == ()
    assert plan.mounts == ()
    assert plan.needs >= {Guarantee.FILESYSTEM, Guarantee.NETWORK, Guarantee.PROCESSES}
    assert plan.command.argv == ("/bin/sh", "-c", "id")
    assert plan.command.cwd == PurePosixPath("/home/agent")
    assert plan.spec("r-1", {}, None).egress is None


def test_a_list_of_words_is_run_as_it_is() -> None:
    assert plan_for(Wish(command=["echo", "$HOME; ls"])).command.argv == ("echo", "$HOME; ls")


def test_nothing_of_the_daemons_environment_reaches_a_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "from the host")
    assert "CANARY" not in plan_for(Wish(command="id")).command.env


def test_the_first_volume_is_where_work_begins() -> None:
    plan = plan_for(Wish(command="id", volumes=("web:/data", "lib:/lib-data:ro")))
    assert plan.volumes == (
        VolumeMount("web", PurePosixPath("/data"), writable=True),
        VolumeMount("lib", PurePosixPath("/lib-data"), writable=False),
    )
    assert plan.command.cwd == PurePosixPath("/data")


def test_a_volume_without_a_path_is_at_workspace() -> None:
    assert plan_for(Wish(command="id", volumes=("web",))).volumes[0].target == PurePosixPath("/workspace")


def test_a_relative_working_folder_starts_at_workspace() -> None:
    plan = plan_for(Wish(command="id", cwd="src/a"))
    assert plan.command.cwd == PurePosixPath("/workspace/src/a")


def test_read_only_may_be_said_without_a_path() -> None:
    plan = plan_for(Wish(command="id", volumes=("web:ro",)))
    assert plan.volumes == (VolumeMount("web", PurePosixPath("/workspace"), writable=False),)


@pytest.mark.parametrize(
    "volume",
    [
        "",
        ":/data",
        "web:",
        "web:src",
        "web::ro",
        "web:ro:ro",
        "web:/data:rx",
        "web:/data:ro:ro",
        "web:/",
        "web://",
        "web:/usr/bin",
        "web:/etc",
        "web:/proc/self",
        "web:/dev/shm",
        "web:/run/x",
        "web:/home",
        "web:/data/../etc",
        "web:/da\0ta",
        "web:/da\nta",
        "web:/" + "x" * 10_000_000,
    ],
)
def test_a_volume_cannot_hide_or_leave_the_sandbox(volume: str) -> None:
    assert code_of(Wish(command="id", volumes=(volume,))) == "volume_invalid"


@pytest.mark.parametrize("name", ["x" * 256, "x" * 10_000_000, "ab$args[" * 1_000_000, "x", "-x", "x/y/z"])
def test_what_cannot_be_a_name_is_refused_in_few_words(name: str) -> None:
    with pytest.raises(HutchError) as refused:
        plan_for(Wish(command="id", volumes=(f"{name}:/data",)))
    assert refused.value.code in ("volume_name_invalid", "volume_invalid")
    assert len(refused.value.message) < 400


def test_two_mounts_cannot_overlap() -> None:
    assert code_of(Wish(command="id", volumes=("va:/x", "vb:/x/y"))) == "volume_invalid"
    assert code_of(Wish(command="id", volumes=("va:/x", "vb:/x"))) == "volume_invalid"
    assert code_of(Wish(command="id", volumes=("va:/x", "va:/y"))) == "volume_invalid"


def test_more_volumes_than_configured_are_refused() -> None:
    many = tuple(f"v{n}:/data{n}" for n in range(POLICY.max_volumes + 1))
    assert code_of(Wish(command="id", volumes=many)) == "volume_invalid"


def test_a_workspace_is_read_only_and_within_the_owners_folders() -> None:
    config = replace(CONFIG, policy=replace(POLICY, workspaces=(Path("/src"),)))
    plan = plan_for(Wish(command="id", workspace="/src/app"), config)
    assert plan.workspace == GrantedWorkspace(Path("/src/app"), Mode.RO)
    assert plan_for(Wish(command="id", workspace="/src/app:rw"), config).workspace == GrantedWorkspace(
        Path("/src/app"), Mode.RW
    )
    for workspace in ("/srcs", "/", "src", "/src/../etc", "/etc:ro", ""):
        assert code_of(Wish(command="id", workspace=workspace), config) == "workspace_denied"
    assert code_of(Wish(command="id", workspace="/src/app")) == "workspace_denied"


def test_a_limit_is_called_what_it_is_asked_for_by() -> None:
    for wish, said in (
        (Wish(command="id", memory_bytes=64 << 30), "memory of 64 GiB is over the bound of 32 GiB"),
        (Wish(command="id", wall_s=90_000), "timeout of 90000 s is over the bound of 86400 s"),
    ):
        with pytest.raises(HutchError) as refused:
            plan_for(wish)
        assert refused.value.message == said


def test_no_limit_goes_over_the_owners_bound() -> None:
    most = POLICY.max_limits
    for wish in (
        Wish(command="id", wall_s=most.wall_s + 1),
        Wish(command="id", memory_bytes=most.memory_bytes + 1),
        Wish(command="id", memory_bytes=(16 << 20) - 1),
        Wish(command="id", cpus=most.cpus + 1),
        Wish(command="id", pids=most.pids + 1),
    ):
        assert code_of(wish) == "limit_exceeded"


@pytest.mark.parametrize("command", ["", "  ", [], [""], "a\0b", "x" * 200_000, ["x"] * 1_100_000])
def test_a_command_that_cannot_be_started_is_refused(command: str | list[str]) -> None:
    assert code_of(Wish(command=command)) == "command_invalid"


@pytest.mark.parametrize("name", ["", "1A", "A=B", "A B", "Ä", "A\0"])
def test_an_environment_name_has_its_form(name: str) -> None:
    assert code_of(Wish(command="id", env={name: "x"})) == "env_invalid"


def test_a_secret_in_the_environment_is_in_no_representation() -> None:
    wish = Wish(command="id", env={"TOKEN": "hunter2"})
    plan = plan_for(wish)
    assert plan.command.env["TOKEN"] == "hunter2"
    for shown_to_somebody in (repr(wish), repr(plan), str(plan.granted), str(plan.requested)):
        assert "hunter2" not in shown_to_somebody


def test_a_further_command_keeps_the_kept_sandboxs_working_folder() -> None:
    plan = plan_for(Wish(command=None, volumes=("web:/data",)))
    assert plan.is_kept
    assert plan.spec("s-1", {"web": Path("/v")}, None).command is None
    assert command_for(Wish(command="id"), plan, "/bin/sh").cwd == PurePosixPath("/data")
    assert command_for(Wish(command="id", cwd="/tmp"), plan, "/bin/sh").cwd == PurePosixPath("/tmp")


def test_a_command_is_shown_in_one_short_line() -> None:
    assert shown("a\n  b") == "a b"
    assert len(shown("x" * 1000)) == 200


LIMITS = st.builds(
    Limits,
    wall_s=st.floats(1, 1000),
    memory_bytes=st.integers(16 << 20, 1 << 40),
    pids=st.integers(2, 5000),
    cpus=st.floats(0.1, 64),
    disk_bytes=st.integers(1 << 20, 1 << 40),
)


@given(LIMITS, LIMITS, st.floats(1, 1000), st.booleans(), st.booleans())
def test_a_stricter_configuration_never_yields_a_looser_plan(
    one: Limits, other: Limits, wall_s: float, has_network: bool, fewer_needs: bool
) -> None:
    """Whatever the strict configuration grants, the loose one grants at least."""
    strict_limits = Limits(*(min(getattr(one, f), getattr(other, f)) for f in Limits.__dataclass_fields__))
    wish = Wish(command="id", wall_s=wall_s, network="model" if has_network else None)
    needs = POLICY.needs - {Guarantee.SYSCALLS} if fewer_needs else POLICY.needs
    loose = replace(CONFIG, policy=replace(POLICY, limits=one, max_limits=one, needs=needs))
    strict = replace(CONFIG, policy=replace(POLICY, limits=strict_limits, max_limits=strict_limits))
    try:
        narrow = plan_for(wish, strict, ())
    except HutchError:
        return  # refused: nothing is looser than that
    wide = plan_for(wish, loose, ("model",))
    assert set(narrow.network.allow) <= set(wide.network.allow)
    assert narrow.needs >= wide.needs
    assert (narrow.limits.memory_bytes or 0) <= (wide.limits.memory_bytes or 0)
    assert narrow.limits.wall_s <= wide.limits.wall_s
    assert narrow.mounts == wide.mounts


IMAGES = replace(
    CONFIG,
    policy=replace(POLICY, images=("python:3.12", "tools/*:*", "local:*")),
    methods={**CONFIG.methods, "boxes": Method("docker", {"image": "own:1"})},
)


@pytest.mark.parametrize("image", ["python:3.12", "tools/make:4", "local:"])
def test_an_image_that_the_owner_names_is_granted_and_recorded(image: str) -> None:
    plan = plan_for(Wish(command="id", image=image), IMAGES)
    assert plan.spec("r-1", {}, None).image == image
    assert (plan.requested["image"], plan.granted["image"]) == (image, image)
    assert plan.command.argv == ("/bin/sh", "-c", "id")


@pytest.mark.parametrize(
    "image",
    [
        "python:3.13",
        "python:3.12@sha256:" + "a" * 64,
        "python",
        "evil.example/python:3.12",
        "tools/deep/er:1",
        "local:5000/another/registrys:1",
        "--privileged",
        "cafe",
        "sha256:" + "a" * 64,
        "",
        "python:3.12\n",
    ],
)
def test_no_other_image_is_granted(image: str) -> None:
    assert code_of(Wish(command="id", image=image), IMAGES) == "image_denied"
    everything = replace(IMAGES, policy=replace(POLICY, images=()))
    assert code_of(Wish(command="id", image=image), everything) == "image_denied"


def test_a_number_is_no_name_of_an_image_whatever_is_granted() -> None:
    config = replace(CONFIG, policy=replace(POLICY, images=("*",)))
    assert code_of(Wish(command="id", image="cafe" * 3), config) == "image_denied"
    assert plan_for(Wish(command="id", image="cafe:1"), config).image == "cafe:1"


def test_a_methods_own_image_needs_no_grant_and_is_recorded() -> None:
    assert plan_for(Wish(command="id", method="boxes"), IMAGES).image == "own:1"
    assert plan_for(Wish(command="id"), IMAGES).image is None
