"""The name server inside: it answers names that the network has, by their addresses inside, and asks nobody.

So a name carries nothing out. `dnspython` reads the questions and writes the answers.
"""

import logging
import socket
import struct
from collections.abc import Callable

import anyio
import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
from anyio import lowlevel, move_on_after, wait_readable

from hutch.destinations import NotADestinationError, read_host
from hutch.egress.sockets import receive, send
from hutch.egress.ways.names import Names

TTL_S = 5  # a spare address may be given to another name later, and a granted network be replaced
BURST = 64  # questions, and then a pause: a flood must not become the event loop's only work
PAUSE_S = 0.02
IDLE_S = 10.0  # of a TCP connection, without a question

_MAX_QUESTION = 4096  # bytes
_LENGTH = struct.Struct(">H")
_IP_PKTINFO = 8  # ip(7); of the `socket` module only since Python 3.14
_PKTINFO = struct.Struct("=i4s4s")  # an interface, the address to send from, one that is ignored

_log = logging.getLogger(__name__)

Refused = Callable[[str], None]  # told of every name that is not there


class NameServer:
    """Stands at one address, for UDP and for TCP."""

    def __init__(self, names: Names, refused: Refused) -> None:
        self._names = names
        self._refused = refused

    async def serve_udp(self, sock: socket.socket) -> None:
        """Answer for ever, from the address that was asked.

        The kernel would take another for a socket that was bound while the sandbox's loopback came up.
        """
        own = _PKTINFO.pack(0, socket.inet_aton(sock.getsockname()[0]), bytes(4))
        source = [(socket.IPPROTO_IP, _IP_PKTINFO, own)]
        count = 0
        while True:
            await wait_readable(sock)
            try:
                question, client = sock.recvfrom(_MAX_QUESTION)
                if reply := self.answer(question):
                    sock.sendmsg([reply], source, 0, client)
            except OSError:  # the client has gone, or its buffer is full: it asks again
                pass
            count += 1
            await (anyio.sleep(PAUSE_S) if count % BURST == 0 else lowlevel.checkpoint())

    async def serve_tcp(self, client: socket.socket) -> None:
        """Answer one connection until it ends or is silent."""
        data = b""
        while True:
            while len(data) < _LENGTH.size or len(data) < _LENGTH.size + _LENGTH.unpack_from(data)[0]:
                piece = b""
                with move_on_after(IDLE_S):
                    piece = await receive(client)
                if not piece:
                    return
                data += piece
            size = _LENGTH.unpack_from(data)[0]
            question, data = data[_LENGTH.size :][:size], data[_LENGTH.size + size :]
            reply = self.answer(question)
            if reply is None:
                return
            await send(client, _LENGTH.pack(len(reply)) + reply)

    def answer(self, question: bytes) -> bytes | None:
        """Return the answer; None: this is no question that is answered."""
        try:
            asked = dns.message.from_wire(question, ignore_trailing=False)
        except (dns.exception.DNSException, ValueError):
            return None
        if asked.flags & dns.flags.QR:
            return None
        reply = dns.message.make_response(asked, recursion_available=True)
        reply.set_rcode(self._fill(asked, reply))
        try:
            return reply.to_wire(max_size=_MAX_QUESTION)
        except dns.exception.TooBig:  # by TCP, so many questions as no program asks
            return None

    def _fill(self, asked: dns.message.Message, reply: dns.message.Message) -> dns.rcode.Rcode:
        if asked.opcode() != dns.opcode.QUERY:
            return dns.rcode.NOTIMP
        if len(asked.question) != 1:
            return dns.rcode.FORMERR
        (question,) = asked.question
        if question.rdclass != dns.rdataclass.IN:
            return dns.rcode.REFUSED
        try:
            host = read_host(question.name.to_text())
        except NotADestinationError:
            return dns.rcode.NXDOMAIN
        address = self._names.address_of(host)
        if address is None:
            self._refused(host)
            return dns.rcode.NXDOMAIN
        if question.rdtype in (dns.rdatatype.A, dns.rdatatype.ANY):
            reply.answer.append(dns.rrset.from_text(question.name, TTL_S, "IN", "A", address))
        return dns.rcode.NOERROR  # of every other kind there is nothing
