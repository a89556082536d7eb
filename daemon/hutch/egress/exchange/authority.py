"""A certificate authority of one run: it lives in memory, and nobody but the run's sandbox trusts it."""

import os
import ssl
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID = timedelta(days=365)  # a kept sandbox may stay for months
_EARLIER = timedelta(days=1)  # a virtual machine's clock may be behind
_KEPT = 256  # hosts whose certificates are kept: behind a wildcard there may be any number

_Key = ec.EllipticCurvePrivateKey


class Authority:
    """Vouches for the hosts of one run whose exchanges are read, and names below them, and for no other."""

    def __init__(self, run_id: str, hosts: Sequence[str]) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Hutch run {run_id}")])
        self._certificate = self._own_certificate(hosts)
        self._contexts: dict[str, ssl.SSLContext] = {}

    @property
    def certificate(self) -> bytes:
        """The authority's own certificate, as PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def context(self, host: str) -> ssl.SSLContext:
        """Return what serves TLS as `host`, to clients that ask for it or name nobody, in HTTP/1.1 only."""
        if host not in self._contexts:
            if len(self._contexts) >= _KEPT:
                self._contexts.pop(next(iter(self._contexts)))
            self._contexts[host] = self._context(host)
        return self._contexts[host]

    def _context(self, host: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])

        def check(_: ssl.SSLObject, asked: str | None, __: ssl.SSLContext) -> int | None:
            is_it = asked is None or asked.lower() == host
            return None if is_it else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

        context.sni_callback = check
        with _readable(self._leaf(host)) as chain, _readable(_private(self._leaf_key)) as key:
            context.load_cert_chain(chain, key)
        return context

    def _own_certificate(self, hosts: Sequence[str]) -> x509.Certificate:
        key = self._key.public_key()
        usage = _key_usage(key_cert_sign=True, digital_signature=False)
        return (
            _builder(self._name, self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(_constraints(hosts), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _leaf(self, host: str) -> bytes:
        # No common name: it holds 64 characters at most, and clients read the alternative name alone
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        usage = _key_usage(key_cert_sign=False, digital_signature=True)
        server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        leaf = (
            _builder(x509.Name([]), self._name, self._leaf_key)
            .add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(server, critical=False)
            .add_extension(issuer, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return leaf.public_bytes(serialization.Encoding.PEM) + self.certificate


def _builder(subject: x509.Name, issuer: x509.Name, key: _Key) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + _VALID)
    )


def _key_usage(*, key_cert_sign: bool, digital_signature: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _constraints(hosts: Sequence[str]) -> x509.NameConstraints:
    """Of names, these alone; of addresses too, so that a name's absence permits nothing (RFC 5280 §4.2.1.10).

    A DNS constraint stands for the name and all below it.
    """
    permitted: list[x509.GeneralName] = []
    excluded: list[x509.GeneralName] = []
    for host in dict.fromkeys(hosts):
        address = _address(host)
        permitted.append(x509.IPAddress(ip_network(address)) if address else x509.DNSName(host))
    if not any(isinstance(name, x509.DNSName) for name in permitted):
        permitted.append(x509.DNSName("invalid"))  # RFC 6761 §6.4: never a host
    if not any(isinstance(name, x509.IPAddress) for name in permitted):
        excluded = [x509.IPAddress(ip_network("0.0.0.0/0")), x509.IPAddress(ip_network("::/0"))]
    return x509.NameConstraints(permitted, excluded or None)


def _general_name(host: str) -> x509.GeneralName:
    address = _address(host)
    return x509.IPAddress(ip_address(address)) if address else x509.DNSName(host)


def _address(host: str) -> str | None:
    try:
        return str(ip_address(host))
    except ValueError:
        return None


def _private(key: _Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@contextmanager
def _readable(data: bytes) -> Generator[str]:
    """Give `data` a path that can be read once: a pipe's, since OpenSSL reads keys from files only."""
    reading, writing = os.pipe()
    try:
        os.write(writing, data)  # a few KiB: they fit into the pipe
        os.close(writing)
        yield f"/dev/fd/{reading}"
    finally:
        os.close(reading)
