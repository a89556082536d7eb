"""A secret while a run may use it: its value in memory, the placeholder that the run has instead."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from hutch.config import Secret
from hutch.egress.exchange import Request
from hutch.egress.exchange.paths import fits
from hutch.errors import HutchError
from hutch.origins import Origin
from hutch.secrets.phantoms import new_phantom
from hutch.secrets.places import Place, read_place
from hutch.secrets.scrub import Marks, marks_of

_LEAST = 8  # bytes: less would be found by chance in every answer
_MOST = 16 << 10
_UNPRINTABLE = re.compile(rb"[^\x20-\x7e\x80-\xff]")  # a line's end would begin another header


@dataclass(frozen=True, slots=True)
class Held:
    """One secret of one run. What is printed of it holds no value."""

    name: str
    hosts: tuple[Origin, ...]
    places: tuple[Place, ...]
    methods: tuple[str, ...]
    paths: tuple[str, ...]
    env: str  # the variable inside that gets the phantom; empty: none
    phantom: str = field(repr=False)
    value: bytes = field(repr=False)
    marks: Marks = field(repr=False)

    def is_bound_to(self, request: Request) -> bool:
        """Whether this is one of the hosts that it is for."""
        where = request.host, request.port
        return any(origin.covers(*where, is_tls=request.is_tls) for origin in self.hosts)

    def is_for(self, request: Request) -> bool:
        """Whether this is one of the requests to its hosts that it is for."""
        return fits(self.methods, self.paths, request.method, request.path)

    def put(self, request: Request) -> Request:
        """Return the request with the value wherever the placeholder stands in its place."""
        for place in self.places:
            request = place.put(request, self.phantom.encode(), self.value)
        return request


def hold(name: str, secret: Secret, value: bytes, hosts: Sequence[Origin] = ()) -> Held:
    """Make a secret ready for one run; `hosts` take the place of its own.

    Raises HutchError `secret_invalid`.
    """
    if not _LEAST <= len(value) <= _MOST or _UNPRINTABLE.search(value) or value != value.strip():
        raise HutchError(
            "secret_invalid",
            f"the value of secret {name} is no line of {_LEAST} to {_MOST} characters with no space around",
            "see where it comes from; what is shorter could not be kept out of answers",
        )
    phantom = new_phantom(secret.like, len(value))
    places = tuple(place for text in secret.place if (place := read_place(text)))
    return Held(
        name=name,
        hosts=tuple(hosts) or secret.hosts,
        places=places,
        methods=secret.methods,
        paths=secret.paths,
        env=secret.env,
        phantom=phantom,
        value=value,
        marks=marks_of(value, phantom.encode()),
    )
