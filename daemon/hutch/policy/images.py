"""Which images a run may ask for: those that the owner has named, and no other. Pure."""

import re

from hutch.config import Config
from hutch.errors import HutchError
from hutch.policy.wish import Wish

_NUMBER = re.compile(r"(sha256:)?[0-9a-f]+", re.ASCII)  # of an image, as engines take it: any image has one


def grant_image(wish: Wish, config: Config, method: str) -> str | None:
    """Return the image of a sandbox: the one asked for, else its method's own; None: the host's programs.

    Raises HutchError `image_denied`.
    """
    if wish.image is None:
        own = config.methods[method].options.get("image")
        return str(own) if own else None
    if _NUMBER.fullmatch(wish.image) or not any(_matches(wish.image, one) for one in config.policy.images):
        raise HutchError(
            "image_denied",
            f"image {wish.image[:200]!r} is not granted",
            "the daemon's owner names those that are in policy.images, with their tags",
        )
    return wish.image


def _matches(image: str, pattern: str) -> bool:
    """`*` stands for no slash: with one, `tool:*` would be another registry's `tool:5000/what/ever`."""
    words = "[^/]*".join(map(re.escape, pattern.split("*")))
    return re.fullmatch(words, image) is not None
