"""A stand-in for the internet: public names with certificates, whose servers are this process.

The names resolve to one public address, and what is dialled there is led to a server on loopback. All before
that is real: the name was judged, resolved, its address vetted.
"""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hutch.egress.sockets import connect

PUBLIC = "93.184.215.14"
NAMES = ("api.example.org", "*.cdn.example.org", "other.example.net")


@dataclass
class PublicNet:
    folder: Path  # what its servers serve; `ca.pem` beside it is what proves them
    ca: Path
    https: int
    http: int
    private: dict[str, str] = field(default_factory=dict)  # names that stand for other addresses
    asked: list[tuple[str, str]] = field(default_factory=list)  # Host and request line that came

    resolved: list[str] = field(default_factory=list)  # names that were looked up outside

    async def ask(self, host: str, _: int) -> list[str]:
        self.resolved.append(host)
        return [self.private.get(host, PUBLIC)]

    async def dial(self, host: str, port: int) -> socket.socket:
        """Lead what is dialled there to its servers here."""
        ports = {443: self.https, 8443: self.https, 80: self.http}
        return await (connect("127.0.0.1", ports[port]) if host == PUBLIC else connect(host, port))


@contextmanager
def public_net(folder: Path) -> Iterator[PublicNet]:
    files = folder / "files"
    files.mkdir()
    context = _certify(folder)
    asked: list[tuple[str, str]] = []
    handler = partial(_Handler, asked, directory=str(files))
    with _serving(handler, None) as http, _serving(handler, context) as https:
        yield PublicNet(files, folder / "ca.pem", https, http, asked=asked)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024  # one that is full lets a client wait for seconds


@contextmanager
def _serving(handler: Callable[..., BaseRequestHandler], context: ssl.SSLContext | None) -> Iterator[int]:
    server = _Server(("127.0.0.1", 0), handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, asked: list[tuple[str, str]], *args: Any, **kwargs: Any) -> None:
        self.asked = asked
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        self.asked.append((self.headers.get("Host", ""), self.requestline))
        if self.headers.get("Upgrade"):
            self._echo()
        elif self.path.startswith("/redirect"):
            self.send_response(302)
            self.send_header("Location", "https://evil.example.net/hello")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path.startswith("/hello"):
            self._say(f"hello from {self.headers['Host']}".encode())
        elif self.path.startswith("/size/"):
            self._say(b"x" * int(self.path.rpartition("/")[2]))
        else:
            super().do_GET()

    def _echo(self) -> None:
        """Speak something else than HTTP from here on."""
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", "websocket")
        self.end_headers()
        while data := self.connection.recv(999):
            self.connection.sendall(data.upper())
        self.close_connection = True

    def do_POST(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        self._say(json.dumps({"got": len(self.rfile.read(size)), "head": dict(self.headers)}).encode())

    def _say(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _certify(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a test's own")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in NAMES]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "ca.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(secret)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context
