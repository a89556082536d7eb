"""The page of a run says what its record says, and nothing that came from inside is more than text."""

import re
from pathlib import Path

import pytest

from support.daemon import daemon, run
from support.loopback import listening
from support.page_house import visitor

pytestmark = pytest.mark.slow

CONFIG = '[policy]\nnetworks = ["near"]\n[network.near]\nhost_services = ["127.0.0.1:{port}"]\n'
HOSTILE = """
printf '</pre><script>alert(1)</script>\\033[31mred\\033[0m\\033]0;title\\007 \\342\\200\\256back\\n'
printf '10%%\\r20%%\\n'
exec 3<>/dev/tcp/127.0.0.1/{port}; cat <&3
exec 4<>/dev/tcp/127.0.0.1/${{HTTP_PROXY##*:}}
printf 'CONNECT wiki.example.org:8443 HTTP/1.1\\r\\nHost: wiki.example.org:8443\\r\\n\\r\\n' >&4; cat <&4
touch '<img src=x onerror=alert(1)>'
exit 3
"""


async def test_what_came_from_inside_is_text_and_what_was_refused_says_how_to_ask(tmp_path: Path) -> None:
    async with (
        listening() as port,
        daemon(tmp_path / "d", CONFIG.format(port=port)) as house,
        house.client() as client,
        visitor(house) as one,
    ):
        command = ["bash", "-c", HOSTILE.format(port=port), "<b>\x1b[2Jname</b>"]
        record = await run(client, command, network="near", volumes=["web:/workspace"])
        await one.sign_in()
        text = (await one.get(f"/runs/{record.run_id}")).text
        front = (await one.get("/")).text
    for page in (text, front):
        assert re.findall(r"<(?:script|b|img)\b[^>]*>", page) == [
            '<script src="/page/page.js" defer>',
            '<img src="/page/icon.svg" alt="" width="24" height="24">',
        ]
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", page)
    assert "&lt;/pre&gt;&lt;script&gt;alert(1)&lt;/script&gt;red \ufffdback\n20%\nhello" in text
    assert "A &lt;img src=x onerror=alert(1)&gt;" in text
    rows = [re.sub(r"<[^>]+>", "|", row) for row in re.findall(r"<tr.*?</tr>", text, re.DOTALL)]
    assert any("|wiki.example.org:8443|" in row and "ask for it with --net" in row for row in rows)
    assert any(f"|127.0.0.1:{port}|" in row and "|0 B|" in row and "|6 B|" in row for row in rows)
    assert "failed with exit code 3" in text
    assert "memory 2 GiB" in text
    assert "wiki.example.org:8443" in front
