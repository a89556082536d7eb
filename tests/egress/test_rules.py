"""What can be granted, what door it becomes, and which addresses are dialled for it."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutch.egress import Grant, parse_grant
from hutch.egress.rules import allot_doors, vetted
from hutch.errors import HutchError
from hutch_launchers.spec import Door

PUBLIC = Grant("api.example.org", 443)
SERVICE = Grant("db", 5432, is_host_service=True)


@pytest.mark.parametrize(
    ("text", "grant"),
    [
        ("api.anthropic.com:443", Grant("api.anthropic.com", 443)),
        ("API.Example.ORG:1", Grant("api.example.org", 1)),
        ("xn--bcher-kva.example:65535", Grant("xn--bcher-kva.example", 65535)),
        ("a_b.example:80", Grant("a_b.example", 80)),
        ("postgres:5432", Grant("postgres", 5432)),
        (("a" * 63 + ".") * 3 + "a" * 61 + ":80", Grant(("a" * 63 + ".") * 3 + "a" * 61, 80)),
    ],
)
def test_a_name_and_a_port_can_be_granted(text: str, grant: Grant) -> None:
    assert parse_grant(text) == grant
    assert str(grant) == text.lower()


def test_the_loopback_is_granted_as_a_host_service_only() -> None:
    assert parse_grant("127.0.0.1:8787", is_host_service=True) == Grant(
        "127.0.0.1", 8787, is_host_service=True
    )
    with pytest.raises(HutchError) as refused:
        parse_grant("127.0.0.1:8787")
    assert refused.value.hint == "this machine's own ports are granted under `host_services`"


@pytest.mark.parametrize("is_host_service", [False, True])
@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ":",
            "host",
            "host:",
            ":80",
            "host:0",
            "host:65536",
            "host:080",
            "host:+80",
            "host:80 ",
            "host:\uff18\uff10",
        ),
        *("host :80", " host:80", "host\n:80", "ho\0st:80", "ho\rst:80", "host\t:80", "host:80\n"),
        *(
            "https://host:443",
            "host/path:443",
            "user@host:443",
            "user:pw@host:443",
            "host:443/x",
            "host?x:443",
        ),
        *(
            "host.:443",
            ".host:443",
            "a..b:443",
            "-a.example:443",
            "a-.example:443",
            "*.example.org:443",
            "*:443",
        ),
        *("a" * 64 + ".example:443", "a." * 127 + "example:443"),
        *(
            "bücher.example:443",
            "\uff45xample.org:443",
            "ex%61mple.org:443",
            "localhost%00:443",
            "allowed.com:80:443",
        ),
        *("0x7f.0.0.1:80", "0x7f000001:80", "2130706433:80", "127.1:80", "0177.0.0.1:80", "127.0.0.01:80"),
        *("1.2.3.4:443", "10.0.0.1:443", "169.254.169.254:80", "0:80", "127.0.0.1.:80", "a.0x1:80", "a.1:80"),
        *(
            "[::1]:443",
            "::1:443",
            "[::ffff:127.0.0.1]:80",
            "[fd00:ec2::254]:80",
            "[fe80::1%eth0]:80",
            "[]:80",
        ),
    ],
)
def test_any_other_spelling_is_refused(text: str, is_host_service: bool) -> None:
    with pytest.raises(HutchError) as refused:
        parse_grant(text, is_host_service=is_host_service)
    assert refused.value.code == "grant_invalid"
    assert refused.value.hint


@given(st.text(max_size=40), st.booleans())
def test_a_grant_is_a_plain_name_or_it_is_refused(text: str, is_host_service: bool) -> None:
    try:
        grant = parse_grant(text, is_host_service=is_host_service)
    except HutchError:
        return
    assert str(grant) == text.lower()
    assert parse_grant(str(grant), is_host_service=is_host_service) == grant


def test_every_name_has_an_address_of_its_own_and_loopback_stands_for_itself() -> None:
    grants = [
        Grant("a.example", 443),
        Grant("127.0.0.1", 8787, is_host_service=True),
        Grant("b.example", 443),
        Grant("a.example", 80),
        Grant("localhost", 5432, is_host_service=True),
        Grant("127.0.0.9", 1, is_host_service=True),
        Grant("localhost", 8787, is_host_service=True),  # the same door as the second
        Grant("a.example", 443),
    ]
    assert allot_doors(grants) == (
        Door("a.example", "127.1.0.1", 443),
        Door("127.0.0.1", "127.0.0.1", 8787),
        Door("b.example", "127.1.0.3", 443),
        Door("a.example", "127.1.0.1", 80),
        Door("localhost", "127.0.0.1", 5432),
        Door("127.0.0.9", "127.0.0.9", 1),
    )


def test_more_hosts_than_there_are_addresses_are_refused() -> None:
    with pytest.raises(HutchError, match="300 hosts are more"):
        allot_doors([Grant(f"h{n}.example", 443) for n in range(299)])


NEVER = [
    *("169.254.169.254", "fd00:ec2::254", "168.63.129.16", "100.100.100.200", "192.0.0.192"),
    *("0.0.0.0", "255.255.255.255", "224.0.0.1", "ff02::1", "::"),
    *("::ffff:127.0.0.1", "::ffff:93.184.215.14", "::ffff:169.254.169.254"),
]
NOT_PUBLIC = [
    *(
        "127.0.0.1",
        "127.8.8.8",
        "::1",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
    ),
    *("169.254.1.1", "fe80::1", "fc00::1", "fd12::1", "fec0::1", "0.1.2.3", "240.0.0.1", "198.18.0.1"),
    *("192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "100::1", "192.88.99.1", "192.0.0.8"),
    *("64:ff9b::a00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::", "2001::1"),
    *("::7f00:1", "::a9fe:a9fe"),
]


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_are_dialled_for_nobody(address: str) -> None:
    assert vetted([address], PUBLIC) == vetted([address], SERVICE) == ()


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_dialled_for_a_host_service_only(address: str) -> None:
    assert vetted([address], PUBLIC) == ()
    assert vetted([address], SERVICE) == (ip_address(address),)


def test_public_addresses_are_dialled_in_their_order_and_the_others_left_out() -> None:
    answer = ["2606:2800:21f::1", "10.0.0.1", "93.184.215.14", "fe80::1%eth0", "93.184.215.14"]
    assert vetted(answer, PUBLIC) == (IPv6Address("2606:2800:21f::1"), IPv4Address("93.184.215.14"))


@given(st.ip_addresses())
def test_no_private_address_is_ever_dialled_for_a_public_name(address: IPv4Address | IPv6Address) -> None:
    if vetted([str(address)], PUBLIC):
        assert address.is_global
        assert not address.is_private
        assert not address.is_multicast
