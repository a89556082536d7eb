"""The settings of the distribution that is reserved for agents, as WSL reads them. Pure."""

_SETTINGS = {
    "automount": {"enabled": "false", "mountFsTab": "false"},  # none of the drives of Windows
    "interop": {"enabled": "false", "appendWindowsPath": "false"},  # no program of Windows can be started
    "boot": {"systemd": "true"},
    "user": {"default": "nobody"},
}


def wsl_conf() -> str:
    """What stands in /etc/wsl.conf of the distribution."""
    return "\n".join(
        "\n".join((f"[{section}]", *(f"{key}={value}" for key, value in settings.items()), ""))
        for section, settings in _SETTINGS.items()
    )
