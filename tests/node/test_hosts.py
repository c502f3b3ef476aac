"""What Node's own reader of addresses (WHATWG URL, that of browsers) makes of the hosts that the gateway accepts."""

import json
import random
import subprocess
from pathlib import Path

import pytest

from gateway.core.normal_forms import DEFAULT_PORTS, host_form, split_host

pytestmark = pytest.mark.node

PIECES = [
    *("example.com", "127.0.0.1", "localhost", "[::1]", "[2001:db8::1]", "1.2", "0x7f", "a_b", "foo", "-", "--", "ab--cd"),
    *(".", "..", "@", "#", "?", "/", ":", "80", ":443", "http", "https", "://", "//", "\\", "%41", "user", "evil.example"),
    *("a-", "00", "0", "256", "1e3", "é", " ", "\t", "ws", "file", "。", "％"),
]
READ = """
const texts = JSON.parse(require("fs").readFileSync(0, "utf8"));
const read = (text) => { const url = new URL(text); return [url.hostname, url.port, url.username + url.password]; };
console.log(JSON.stringify(texts.map(read)));
"""


def test_every_accepted_host_is_the_one_that_node_would_connect_to(node_modules: Path) -> None:
    chance = random.Random(8)
    texts = {"".join(chance.choices(PIECES, k=chance.randint(1, 6))) for _ in range(60_000)}
    texts |= {chance.choice(["http://", "https://", "HTTP://", "wss://"]) + text for text in texts}
    accepted = {text: form for text in texts if (form := host_form(text)) is not None}
    assert len(accepted) > 5_000
    written = [text if "://" in text else f"https://{text}" for text in accepted]
    done = subprocess.run(
        [str(node_modules / ".bin" / "node"), "-e", READ],
        input=json.dumps(written),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    for text, form, (host, port, user) in zip(written, accepted.values(), json.loads(done.stdout), strict=True):
        name, own_port = split_host(form)
        default = DEFAULT_PORTS[text.partition(":")[0].lower()]
        assert (host.strip("[]"), int(port or default), user) == (name, own_port or default, ""), text
