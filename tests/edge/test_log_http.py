"""The log over HTTP: a C2SP tiled log for auditors, from which a client makes every proof with nothing else to ask."""

import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from gateway.adapters.keys import load_trusted_keys
from gateway.core.checkpoint import open_checkpoint, read_checkpoint
from gateway.core.merkle import leaf_hash
from gateway.core.proof import consistency_proof, inclusion_proof, tree_root, verify_consistency, verify_inclusion
from gateway.core.tiles import TileName, tile_names, tile_nodes, unbundle
from gateway.edge.auth import MAX_FAILURES_PER_MINUTE
from tests.running import NO_AUTHORITIES, RunningGateway, until
from tests.store.filled import fill

SIZE = 600
TOKENS = {"agent": "agent-token", "auditor": "auditor-token", "admin": "admin-token", "approver": "approver-token"}
FOR_EVER = "private, max-age=31536000, immutable"


class Auditor:
    """Reads `/log/…` with a token; None: without one."""

    def __init__(self, gateway: RunningGateway, token: str | None = TOKENS["auditor"]) -> None:
        self._url = f"http://127.0.0.1:{gateway.port}/log/"
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return httpx2.get(self._url + path, headers={**self._headers, **headers}, timeout=20, verify=NO_AUTHORITIES)

    def head(self, path: str) -> httpx2.Response:
        return httpx2.head(self._url + path, headers=self._headers, timeout=20, verify=NO_AUTHORITIES)

    def post(self, path: str) -> httpx2.Response:
        return httpx2.post(self._url + path, headers=self._headers, json={}, timeout=20, verify=NO_AUTHORITIES)

    def tile(self, name: TileName) -> bytes:
        response = self.get(name.path)
        assert response.status_code == 200, (name, response.text)
        return response.content

    def checkpoint(self) -> str:
        return self.get("checkpoint").text


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with a caller of every role, on a log that was long before it started."""
    folder = tmp_path_factory.mktemp("log-http")
    gateway = RunningGateway(folder, verb="serve")
    fill(gateway.state, SIZE)
    callers = "".join(
        f'  - {{principal: "user:{role}", roles: [{role}], token_sha256: {hashlib.sha256(token.encode()).hexdigest()}}}\n'
        for role, token in TOKENS.items()
    )
    gateway.configure(f"log: {{origin: test.example/log}}\nmcpServers: {{}}\ncallers:\n{callers}")
    with gateway:
        until(lambda: size_of(Auditor(gateway)) > SIZE, what="a checkpoint of the boot entry")
        yield gateway


@pytest.fixture
def auditor(served: RunningGateway) -> Auditor:
    return Auditor(served)


def size_of(auditor: Auditor) -> int:
    return read_checkpoint(auditor.checkpoint()).checkpoint.size


def test_the_checkpoint_is_a_signed_note_that_no_cache_keeps(served: RunningGateway, auditor: Auditor) -> None:
    response = auditor.get("checkpoint")
    trusted = load_trusted_keys(served.state / "keys" / "public.json")
    opened = open_checkpoint(response.text, "test.example/log", [period.key for period in trusted.log_keys.values()])
    assert opened.size == SIZE + 1
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["cache-control"] == "private, no-cache"


def test_a_client_proves_every_entry_from_what_is_served(auditor: Auditor) -> None:
    checkpoint = read_checkpoint(auditor.checkpoint()).checkpoint
    tiles = {name: auditor.tile(name) for name in tile_names(checkpoint.size)}
    node = tile_nodes(checkpoint.size, lambda name: tiles[name])
    entries = [entry for name, data in tiles.items() if name.level is None for entry in unbundle(data, name)]
    assert len(entries) == checkpoint.size
    for index, entry in enumerate(entries):
        proof = inclusion_proof(index, checkpoint.size, node)
        assert verify_inclusion(index, checkpoint.size, leaf_hash(entry), proof, checkpoint.root)


def test_tiles_of_every_earlier_size_are_served_too(auditor: Auditor) -> None:
    checkpoint = read_checkpoint(auditor.checkpoint()).checkpoint
    now = tile_nodes(checkpoint.size, auditor.tile)
    for old in (1, 255, 256, 257, 300, 512, 599):
        earlier = tile_nodes(old, auditor.tile)
        *_, last_bundle = (name for name in tile_names(old) if name.level is None)
        *_, last = unbundle(auditor.tile(last_bundle), last_bundle)
        inclusion = inclusion_proof(old - 1, old, earlier)
        assert verify_inclusion(old - 1, old, leaf_hash(last), inclusion, tree_root(old, earlier))
        proof = consistency_proof(old, checkpoint.size, now)
        assert verify_consistency(old, checkpoint.size, tree_root(old, earlier), checkpoint.root, proof)


@pytest.mark.parametrize(
    "path", ["tile/0/000", "tile/0/001", "tile/0/002.p/7", "tile/1/000.p/2", "tile/entries/000", "tile/entries/002.p/1"]
)
def test_what_never_changes_may_be_kept_for_ever_but_not_by_shared_caches(auditor: Auditor, path: str) -> None:
    response = auditor.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["cache-control"] == FOR_EVER
    head = auditor.head(path)
    assert (head.status_code, head.content, head.headers["content-type"]) == (200, b"", "application/octet-stream")


def test_bundles_are_compressed_for_who_can_read_it(auditor: Auditor) -> None:
    packed = auditor.get("tile/entries/000", **{"Accept-Encoding": "gzip"})
    plain = auditor.get("tile/entries/000", **{"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert int(packed.headers["content-length"]) < len(plain.content)
    assert len(gzip.compress(plain.content, 1, mtime=0)) == int(packed.headers["content-length"])
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "nothing",
        "checkpoint/",
        "tile/0/003",
        "tile/0/002",
        "tile/0/002.p/255",
        "tile/1/000",
        "tile/2/000.p/1",
        "tile/entries/003",
        "tile/entries/002.p/200",
        "tile/0/x999/x999/x999/x999/999",
        "tile/0/0",
        "tile/0/000.p/256",
        "tile/entries/000.p/0",
        "tile/0/%2e%2e/%2e%2e/keys/log.pem",
        "../keys/public.json",
        "public.json",
    ],
)
def test_what_is_not_there_is_404(auditor: Auditor, path: str) -> None:
    assert auditor.get(path).status_code == 404


def test_nothing_can_be_written(auditor: Auditor) -> None:
    assert auditor.post("checkpoint").status_code == 405
    assert auditor.post("tile/0/000").status_code == 405


@pytest.mark.parametrize(
    ("role", "status"), [("auditor", 200), ("admin", 200), ("agent", 403), ("approver", 403), (None, 401), ("wrong", 401)]
)
@pytest.mark.parametrize("path", ["checkpoint", "tile/0/000", "tile/entries/000"])
def test_the_log_is_read_by_auditors_and_admins_only(
    served: RunningGateway, role: str | None, status: int, path: str
) -> None:
    response = Auditor(served, None if role is None else TOKENS.get(role, role)).get(path)
    assert response.status_code == status
    assert response.headers.get("www-authenticate") == ("Bearer" if status == 401 else None)


def test_without_a_token_nobody_learns_what_is_there(served: RunningGateway) -> None:
    nobody = Auditor(served, None)
    assert {nobody.get(path).status_code for path in ("checkpoint", "tile/0/000", "tile/0/999", "nothing")} == {401}


def test_a_websocket_is_asked_for_in_vain(served: RunningGateway, auditor: Auditor) -> None:
    """It is answered as the plain request it also is, by the same door."""
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAA"}
    assert auditor.get("checkpoint", **upgrade).status_code == 200
    assert Auditor(served, None).get("checkpoint", **upgrade).status_code == 401
    assert "Exception" not in served.output


def test_another_host_and_a_page_of_another_origin_are_refused(auditor: Auditor) -> None:
    assert auditor.get("checkpoint", Host="evil.example").status_code == 421
    assert auditor.get("checkpoint", Origin="http://evil.example").status_code == 403


@pytest.fixture
def developing(tmp_path: Path) -> Iterator[RunningGateway]:
    gateway = RunningGateway(tmp_path)
    gateway.configure("mcpServers: {}")
    with gateway:
        until(lambda: Auditor(gateway, gateway.token).get("checkpoint").status_code == 200, what="a checkpoint")
        yield gateway


def test_the_development_token_reads_the_log_and_refused_logins_are_counted_for_both_doors(
    developing: RunningGateway,
) -> None:
    reader, guesser = Auditor(developing, developing.token), Auditor(developing, "guess")
    assert unbundle(reader.tile(TileName(None, 0, 1)), TileName(None, 0, 1))
    for _ in range(MAX_FAILURES_PER_MINUTE):
        guesser.get("checkpoint")
    assert guesser.get("checkpoint").status_code == 429
    assert httpx2.post(developing.url, json={}, headers={"Authorization": "Bearer guess"}).status_code == 429
    assert reader.get("checkpoint").status_code == 200


@pytest.mark.parametrize("path", ["checkpoint", "tile/0/000.p/1"])
def test_a_log_that_cannot_be_read_is_told_without_its_path(developing: RunningGateway, path: str) -> None:
    journal = developing.state / "journal.db"
    away = journal.rename(journal.with_name("away.db"))
    try:
        response = Auditor(developing, developing.token).get(path)
    finally:
        away.rename(journal)
    assert response.status_code == 500
    assert response.json() == {"error": "store.failed", "message": "The log cannot be read."}
    assert "log_unreadable" in developing.output
