"""What a destination is called, what door it gets, and which addresses are dialled for it."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hutch.config import Network, parse
from hutch.config.kinds import Kind, WrongValueError
from hutch.config.network_kinds import Hosts, HostService
from hutch.config.profiles import NETWORKS
from hutch.destinations import EVERY, Pattern, read_pattern
from hutch.egress import proxy_variables, union
from hutch.egress.addresses import vetted
from hutch.egress.ways.doors import allot_doors, lay_out
from hutch.errors import HutchError
from hutch_launchers.spec import Door, Listener
from support.networks import network


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("api.anthropic.com:443", Pattern("api.anthropic.com", 443)),
        ("API.Example.ORG:1", Pattern("api.example.org", 1)),
        ("xn--bcher-kva.example:65535", Pattern("xn--bcher-kva.example", 65535)),
        ("a_b.example:80", Pattern("a_b.example", 80)),
        ("postgres:5432", Pattern("postgres", 5432)),
        (("a" * 63 + ".") * 3 + "a" * 61 + ":80", Pattern(("a" * 63 + ".") * 3 + "a" * 61, 80)),
    ],
)
def test_a_name_and_a_port_can_be_granted(text: str, pattern: Pattern) -> None:
    assert Hosts().read(text) == HostService().read(text) == pattern
    assert str(pattern) == text.lower()


def test_the_loopback_is_granted_as_a_host_service_only() -> None:
    assert HostService().read("127.0.0.1:8787") == Pattern("127.0.0.1", 8787)
    with pytest.raises(WrongValueError, match="this machine's own ports are host_services"):
        Hosts().read("127.0.0.1:8787")


@pytest.mark.parametrize("kind", [Hosts(), HostService()])
@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ":",
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
def test_any_other_spelling_is_refused(text: str, kind: Kind) -> None:
    with pytest.raises(WrongValueError):
        kind.read(text)


@given(st.text(max_size=40))
def test_a_pattern_is_a_plain_name_or_it_is_refused(text: str) -> None:
    try:
        pattern = Hosts().read(text)
    except WrongValueError:
        return
    assert str(pattern) == text.lower() + (":443" if ":" not in text else "")
    assert Hosts().read(str(pattern)) == pattern


def test_every_name_has_an_address_of_its_own_and_loopback_stands_for_itself() -> None:
    granted = network(
        *(
            "a.example:443",
            "b.example:443",
            "a.example:80",
            "a.example:443",
            "gone.example",
            "*.w.example.org",
        ),
        services=["127.0.0.1:8787", "localhost:5432", "127.0.0.9:1", "localhost:8787"],
        deny=["gone.example"],
    )
    assert allot_doors(granted) == (
        Door("127.0.0.1", "127.0.0.1", 8787),
        Door("localhost", "127.0.0.1", 5432),
        Door("127.0.0.9", "127.0.0.9", 1),
        Door("a.example", "127.1.0.3", 443),
        Door("b.example", "127.1.0.4", 443),
        Door("a.example", "127.1.0.3", 80),
    )


def test_what_is_made_inside_is_one_listener_at_a_wildcards_port_and_else_one_a_door() -> None:
    granted = network("a.example", "a.example:22", "*.w.example:8443", services=["127.0.0.1:3128", "db:5432"])
    layout = lay_out(granted)
    assert layout.listeners == (
        Listener("0.0.0.0", 443),
        Listener("0.0.0.0", 8443),
        Listener("127.0.0.1", 3128),
        Listener("127.1.0.2", 5432),
        Listener("127.1.0.3", 22),
    )
    assert layout.proxy == Listener("127.0.0.1", 3129)
    full = lay_out(union(["full"], {"full": Network(allow=(EVERY,))}))
    assert [each.port for each in full.listeners] == [80, 443]


def test_programs_are_told_of_the_proxy_in_both_spellings_and_not_for_themselves() -> None:
    variables = proxy_variables(network("a.example", services=["db:5432"]))
    assert variables["HTTPS_PROXY"] == variables["http_proxy"] == "http://127.0.0.1:3128"
    assert {"localhost", "127.0.0.1", "::1", "0.0.0.0", "db"} <= set(variables["no_proxy"].split(","))
    assert proxy_variables(network()) == {}


def test_more_hosts_than_there_are_addresses_are_refused() -> None:
    with pytest.raises(HutchError, match="300 hosts are more"):
        allot_doors(network(*(f"h{n}.example" for n in range(299))))


NEVER = [
    *("169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "168.63.129.16", "100.100.100.200", "192.0.0.192"),
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
    assert vetted([address], is_host_service=False) == vetted([address], is_host_service=True) == ()


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_is_dialled_for_a_host_service_only(address: str) -> None:
    assert vetted([address], is_host_service=False) == ()
    assert vetted([address], is_host_service=True) == (ip_address(address),)


def test_public_addresses_are_dialled_in_their_order_and_the_others_left_out() -> None:
    answer = ["2606:2800:21f::1", "10.0.0.1", "93.184.215.14", "fe80::1%eth0", "93.184.215.14"]
    assert vetted(answer, is_host_service=False) == (
        IPv6Address("2606:2800:21f::1"),
        IPv4Address("93.184.215.14"),
    )


@given(st.ip_addresses())
def test_no_private_address_is_ever_dialled_for_a_public_name(address: IPv4Address | IPv6Address) -> None:
    if vetted([str(address)], is_host_service=False):
        assert address.is_global
        assert not address.is_private
        assert not address.is_multicast


# Where one host is metered, the others that everybody knows are too: they may be given later
BUILT_IN = {str(origin) for each in NETWORKS.values() for origin in each.metered}


@pytest.mark.parametrize(
    ("names", "hosts", "metered"),
    [
        (("openai",), (), BUILT_IN),
        (("python",), (), set()),
        ((), ("api.openai.com",), BUILT_IN),
        ((), ("*.openai.com",), BUILT_IN),
        ((), ("api.openai.com:8443",), set()),
        (("ours",), (), {"llm.example.org:443", *BUILT_IN}),
    ],
)
def test_models_are_metered_by_whichever_rule_they_are_reached(
    names: Sequence[str], hosts: Sequence[str], metered: set[str]
) -> None:
    text = '[network.ours]\nallow = ["*.example.org"]\n[network.gateway]\nmetered = ["llm.example.org"]'
    known = parse(text, {"HOME": "/home/me"}).networks
    assert {str(origin) for origin in union(names, known, map(read_pattern, hosts)).metered} == metered
    everything = {origin for each in known.values() for origin in each.metered}
    assert set(union(("full",), known).metered) == everything
