"""What systemd wants to hear: sd_notify(3), in the twenty lines that it takes."""

import os
import socket

import anyio


def notify(message: str) -> None:
    """Send a state to the supervisor that started us; nothing where there is none."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract socket: unix(7)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto(message.encode(), address)
        except OSError:
            return  # a supervisor that does not listen is no reason to stop


async def keep_alive() -> None:
    """Feed the watchdog, if there is one, from the event loop that it is meant to watch."""
    usec = os.environ.get("WATCHDOG_USEC", "")
    if not usec.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return
    while True:
        notify("WATCHDOG=1")
        await anyio.sleep(int(usec) / 1e6 / 2)
