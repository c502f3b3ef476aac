"""A real OPA server decides like the embedded engine; whatever goes wrong with it is a deny, and passes."""

import asyncio
import random
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import orjson
import pytest

from gateway.adapters.clock import SystemClock
from gateway.adapters.policy.bundle import load_bundle
from gateway.adapters.policy.embedded import EmbeddedEngine
from gateway.adapters.policy.manifest import Manifest
from gateway.adapters.policy.opa import OpaEngine
from gateway.core.call import Compensated
from gateway.core.capability import ApprovalMode
from gateway.core.circumstances import Circumstances
from gateway.core.decision import POLICY_ERROR, Effect, PolicyDecision
from gateway.core.errors import ConfigError, StoreFault
from gateway.core.obligations import Obligations
from gateway.core.run_context import Delegation, PrincipalKind
from tests.policy.calls import FAR_FUTURE, PAST, READ_ONLY, Case, sealed
from tests.policy.conftest import START_SECONDS, OpaServer
from tests.running import free_port

pytestmark = pytest.mark.anyio

SEED = 20261122
INPUTS = 1_500
BATCH = 8
WAIT_SECONDS = 20.0

HOSTS = ["api.example.com", "cdn.example.com", "evil.example.net", "API.example.com", ""]
SCOPES = ["mail__send", "mail__*", "mail__read", "files__*", "*", "mail__"]
EXPIRIES = [
    FAR_FUTURE,
    FAR_FUTURE,
    FAR_FUTURE,
    PAST,
    "2099-01-01T00:00:00Z",
    "2099-01-01T00:00:00.000+01:00",
    "soon",
    "٢٠٩٩",
]
ROLES = [("agent",), ("agent",), ("agent",), ("agent", "admin"), ("approver",), ()]
VALUES = ["", "héllo \u2028 \U0001f600", 0, -1, 1.5, 2**53 - 1, True, None, [], {"deep": [{"er": [None]}]}]


def a_case(chance: random.Random) -> Case:
    """Any call, with the accepted variants likely enough that every tier is also allowed or asked about."""
    delegation = None
    if chance.random() < 0.8:
        subject = chance.choice(["alice", "alice", "alice", "mallory"])
        scopes = tuple(chance.sample(SCOPES, chance.randint(0, 4)))
        delegation = Delegation(subject, scopes, chance.choice(EXPIRIES))
    return Case(
        mode=chance.choice(list(ApprovalMode)),
        tool=chance.choice(["send", "send", "read"]),
        arguments={f"a{index}": chance.choice(VALUES) for index in range(chance.randint(0, 3))},
        egress=tuple(chance.sample(HOSTS, chance.choice([0, 1, 1, 2]))),
        key=chance.random() < 0.7,
        roles=chance.choice(ROLES),
        kind=chance.choice(list(PrincipalKind)),
        ceiling=chance.choice([*ApprovalMode, *[ApprovalMode.DESTRUCTIVE] * 3]),
        delegation=delegation,
        recent_calls=chance.choice([0, 1, 59, 60, 61, 10_000]),
    )


def said(decision: PolicyDecision) -> tuple[Effect, list[str], Obligations]:
    return decision.effect, [reason.code for reason in decision.reasons], decision.obligations


def is_denied(decision: PolicyDecision) -> bool:
    return decision.effect is Effect.DENY and decision.reasons == (POLICY_ERROR,) and bool(decision.cause)


async def until(condition: Callable[[PolicyDecision], bool], ask: Callable[[], Awaitable[PolicyDecision]]) -> PolicyDecision:
    """Ask until the answer is as wanted, with a bound."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition(decision := await ask()):  # noqa: ASYNC110 - a server outside sets no event here
            await asyncio.sleep(0.02)
    return decision


@pytest.mark.opa
async def test_both_engines_decide_alike(opa_server: OpaServer, policies_folder: Path) -> None:
    chance = random.Random(SEED)
    cases = [a_case(chance) for _ in range(INPUTS)]
    bundle = load_bundle(policies_folder)
    seen: Counter[tuple[ApprovalMode, Effect]] = Counter()
    codes: set[str] = set()
    async with (
        EmbeddedEngine(bundle, SystemClock(), dev=False, deadline_seconds=10) as embedded,
        OpaEngine(opa_server.url, SystemClock(), dev=False, deadline_seconds=10) as opa,
    ):
        for start in range(0, INPUTS, BATCH):
            batch = cases[start : start + BATCH]
            ours = await asyncio.gather(*(embedded.decide(sealed(case), Circumstances(case.recent_calls)) for case in batch))
            theirs = await asyncio.gather(*(opa.decide(sealed(case), Circumstances(case.recent_calls)) for case in batch))
            for case, one, other in zip(batch, ours, theirs, strict=True):
                assert said(one) == said(other), case
                assert (one.cause, other.cause) == (None, None), case
                seen[case.mode, one.effect] += 1
                codes.update(reason.code for reason in one.reasons)
    # The comparison is worth something only if every tier was decided every way it can be.
    assert set(seen) == {
        *((mode, Effect.DENY) for mode in ApprovalMode),
        *((mode, Effect.ALLOW) for mode in (ApprovalMode.READ_ONLY, ApprovalMode.LOCAL_WRITE, ApprovalMode.NETWORK)),
        *((mode, Effect.ASK) for mode in (ApprovalMode.NETWORK, ApprovalMode.DELEGATED, ApprovalMode.DESTRUCTIVE)),
    }
    assert min(seen.values()) >= 10, seen
    assert len(codes) == 15, codes


UNDO = """package sealgate.authz

undone := input.context.compensates

decision := {"effect": "ask", "reasons": [{"code": "undo.asked", "message": json.marshal(undone)}], "obligations": {}} if {
	undone.capability_id == "mail__send"
} else := {"effect": "deny", "reasons": [{"code": "undo.unknown", "message": json.marshal(undone)}], "obligations": {}} if {
	undone
} else := {"effect": "allow", "reasons": [], "obligations": {}}
"""


@pytest.mark.opa
async def test_both_engines_see_which_call_is_undone_and_decide_by_it(opa_binary: str, tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "authz.rego").write_text(UNDO)
    server = OpaServer(opa_binary, folder, free_port())
    server.start()
    known, unknown = Compensated("e-1", "mail__send", "hmac-sha256:00"), Compensated("e-1")
    try:
        async with (
            EmbeddedEngine(load_bundle(folder), SystemClock(), dev=False, deadline_seconds=5) as embedded,
            OpaEngine(server.url, SystemClock(), dev=False, deadline_seconds=5) as opa,
        ):
            for engine in (embedded, opa):
                decided = [await engine.decide(sealed(Case()), Circumstances(0, one)) for one in (known, unknown, None)]
                assert [said(one)[:2] for one in decided] == [
                    (Effect.ASK, ["undo.asked"]),
                    (Effect.DENY, ["undo.unknown"]),
                    (Effect.ALLOW, []),
                ]
                told = [orjson.loads(reason.message) for one in decided for reason in one.reasons]
                assert told == [known.document(), unknown.document()]
    finally:
        server.stop()


@pytest.mark.opa
async def test_a_stopped_server_denies_and_a_restarted_one_decides_again(opa_server: OpaServer) -> None:
    async with OpaEngine(opa_server.url, SystemClock(), dev=False, deadline_seconds=START_SECONDS) as engine:
        before = await engine.decide(sealed(Case()), Circumstances())
        assert (said(before)[:2], before.engine) == ((Effect.ALLOW, ["read_only.allowed"]), "opa")
        opa_server.stop()
        for _ in range(3):
            assert is_denied(await engine.decide(sealed(Case()), Circumstances()))
        opa_server.start()
        after = await until(lambda decision: not is_denied(decision), lambda: engine.decide(sealed(Case()), Circumstances()))
        assert (said(after), after.bundle_revision) == (said(before), before.bundle_revision)


@pytest.mark.opa
async def test_a_server_that_comes_later_is_used_when_it_is_there(opa_server: OpaServer) -> None:
    opa_server.stop()
    async with OpaEngine(opa_server.url, SystemClock(), dev=False, deadline_seconds=START_SECONDS) as engine:
        decision = await engine.decide(sealed(Case()), Circumstances())
        assert is_denied(decision)
        assert decision.bundle_revision == "unknown"
        opa_server.start()
        assert said(await engine.decide(sealed(Case()), Circumstances()))[0] is Effect.ALLOW


@pytest.mark.opa
async def test_a_server_restarted_with_other_policies_has_another_revision_at_once(
    opa_server: OpaServer, policies_folder: Path
) -> None:
    async with OpaEngine(opa_server.url, SystemClock(), dev=False, deadline_seconds=5) as engine:
        before = await engine.decide(sealed(Case()), Circumstances())
        opa_server.stop()
        (policies_folder / "extra.rego").write_text("package sealgate.extra\n\nx := 1\n")
        opa_server.start()
        after = await until(lambda decision: not is_denied(decision), lambda: engine.decide(sealed(Case()), Circumstances()))
        assert after.bundle_revision.startswith("sha256:")
        assert after.bundle_revision != before.bundle_revision


@pytest.mark.opa
async def test_a_reload_reads_the_revision_again(opa_server: OpaServer) -> None:
    async with OpaEngine(opa_server.url, SystemClock(), dev=False) as engine:
        before = engine.revision
        await _put(opa_server, "/v1/policies/extra.rego", b"package sealgate.extra\n\nx := 1\n")
        await engine.reload()
        with_module = engine.revision
        await _put(opa_server, "/v1/data/sealgate/settings/network_calls_per_minute", b"1")
        await engine.reload()
        assert len({before, with_module, engine.revision}) == 3
        opa_server.stop()
        with pytest.raises(ConfigError, match="does not tell its policies"):
            await engine.reload()
        assert engine.revision == "unknown"


@pytest.mark.opa
@pytest.mark.parametrize(
    ("rule", "cause"),
    [
        ('decision := {"effect": "maybe", "reasons": []}', "none of allow, ask and deny"),
        ('decision := {"effect": "allow", "reasons": [], "obligations": {"sing": true}}', "unknown obligation"),
        ('decision := {"effect": "allow"} if input.nothing', "undefined"),
        ('decision := {"effect": "allow", "reasons": [], "x": to_number(input.resource.id)}', "ClientResponseError"),
        (
            "decision := count([1 | some i in numbers.range(1, 30000); some j in numbers.range(1, 30000); i * j == 7])",
            "within",
        ),
    ],
)
async def test_what_is_no_decision_is_a_deny(opa_binary: str, tmp_path: Path, rule: str, cause: str) -> None:
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "authz.rego").write_text(f"package sealgate.authz\n\n{rule}\n")
    server = OpaServer(opa_binary, folder, free_port())
    server.start()
    try:
        async with OpaEngine(server.url, SystemClock(), dev=False, deadline_seconds=START_SECONDS) as engine:
            decision = await engine.decide(sealed(Case()), Circumstances())
    finally:
        server.stop()
    assert is_denied(decision)
    assert cause in str(decision.cause)


async def test_a_server_that_accepts_and_never_answers_is_a_deny_within_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        engine = OpaEngine(f"http://127.0.0.1:{port}", SystemClock(), dev=False, deadline_seconds=0.2)
        async with engine:
            started = time.monotonic()
            decision = await engine.decide(sealed(Case()), Circumstances())
            took = time.monotonic() - started
    assert is_denied(decision)
    assert took < 10, "the deadline is what ended it: nothing else ends before"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 33\r\n\r\n"
        + b'{"result": 1, "provenance": true}',
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>",
        b"nonsense\r\n\r\n",
        b"",
    ],
)
async def test_something_that_is_no_opa_is_a_deny(answer: bytes) -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with (
        await asyncio.start_server(reply, "127.0.0.1", 0) as server,
        OpaEngine(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", SystemClock(), dev=False) as engine,
    ):
        assert is_denied(await engine.decide(sealed(Case(READ_ONLY)), Circumstances()))


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8181", "ftp://localhost", "http://localhost/opa", "http://localhost?x=1", "http://"]
)
async def test_an_address_that_cannot_be_meant_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="is not the address of an OPA server"):
        OpaEngine(url, SystemClock(), dev=False)


async def _put(server: OpaServer, path: str, body: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = f"PUT {path} HTTP/1.1\r\nhost: opa\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    writer.write(head.encode() + body)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.split()[1] in {b"200", b"204"}, answer


@pytest.mark.opa
async def test_other_policies_under_the_same_name_have_another_revision(
    opa_binary: str, policies_folder: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.tar.gz"
    server = OpaServer(opa_binary, bundle, free_port(), ("--bundle",))
    revisions = []
    async with OpaEngine(server.url, SystemClock(), dev=False, deadline_seconds=5) as engine:
        for line in ("", "\n# another policy\n"):
            (policies_folder / "authz.rego").write_text((policies_folder / "authz.rego").read_text() + line)
            bundle.write_bytes(load_bundle(policies_folder).packed(Manifest("stable")))
            server.start()
            try:
                decision = await until(lambda it: not is_denied(it), lambda: engine.decide(sealed(Case()), Circumstances()))
            finally:
                server.stop()
            revisions.append(decision.bundle_revision)
    assert all("@stable,sha256:" in revision for revision in revisions)
    assert revisions[0] != revisions[1]


class Teller:
    """Remembers what it was told of changes; refuses while `full`, and answers only once `free`."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.full = False
        self.free = asyncio.Event()
        self.free.set()

    async def __call__(self, revision: str, by: str) -> None:
        await self.free.wait()
        if self.full:
            raise StoreFault("the disk is full")
        self.told.append((revision, by))


MORE = b"package sealgate.extra\n\nx := 1\n"


@pytest.mark.opa
async def test_a_change_that_nobody_asked_about_is_told_before_it_decides_and_only_once(
    opa_server: OpaServer, policies_folder: Path
) -> None:
    teller = Teller()
    async with OpaEngine(opa_server.url, SystemClock(), dev=False, deadline_seconds=2, changed=teller) as engine:
        first = await engine.decide(sealed(Case()), Circumstances())
        assert (first.bundle_revision, teller.told) == (engine.revision, [])
        opa_server.stop()
        (policies_folder / "extra.rego").write_bytes(MORE)
        opa_server.start()
        teller.free.clear()
        early = await asyncio.gather(*(engine.decide(sealed(Case()), Circumstances()) for _ in range(3)))
        assert all(is_denied(one) for one in early)  # the log has not taken it within their deadline
        teller.free.set()
        after = await until(lambda one: not is_denied(one), lambda: engine.decide(sealed(Case()), Circumstances()))
        assert after.bundle_revision != first.bundle_revision
        assert teller.told == [(after.bundle_revision, "change")]


@pytest.mark.opa
async def test_a_change_that_the_log_does_not_take_decides_nothing(opa_server: OpaServer) -> None:
    teller = Teller()
    async with OpaEngine(opa_server.url, SystemClock(), dev=False, deadline_seconds=2, changed=teller) as engine:
        teller.full = True
        await _put(opa_server, "/v1/policies/extra.rego", MORE)
        with pytest.raises(StoreFault):
            await engine.reload()
        denied = await engine.decide(sealed(Case()), Circumstances())
        assert is_denied(denied)
        assert "store.failed" in str(denied.cause)
        teller.full = False
        assert said(await engine.decide(sealed(Case()), Circumstances()))[0] is Effect.ALLOW
        await engine.reload("operator")
        assert teller.told == [(engine.revision, "change")]


@pytest.mark.opa
@pytest.mark.parametrize("names", [(), ("--bundle",)], ids=["folder", "bundle"])
async def test_a_change_is_told_where_no_call_comes_and_the_next_call_finds_the_same(
    opa_binary: str, policies_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    monkeypatch.setattr("gateway.adapters.policy.opa.REVISION_SECONDS", 0.05)
    place = tmp_path / "bundle.tar.gz" if names else policies_folder
    if names:
        place.write_bytes(load_bundle(policies_folder).packed(Manifest("first")))
    server = OpaServer(opa_binary, place, free_port(), (*names, "--watch"))
    server.start()
    teller = Teller()
    try:
        async with OpaEngine(server.url, SystemClock(), dev=False, deadline_seconds=5, changed=teller) as engine:
            before = await engine.decide(sealed(Case()), Circumstances())
            assert (before.bundle_revision, teller.told) == (engine.revision, [])
            (policies_folder / "extra.rego").write_bytes(MORE)
            if names:
                place.write_bytes(load_bundle(policies_folder).packed(Manifest("second")))
            async with asyncio.timeout(WAIT_SECONDS):
                while not teller.told:  # noqa: ASYNC110 - a server outside sets no event here
                    await asyncio.sleep(0.02)
            after = await engine.decide(sealed(Case()), Circumstances())
            assert teller.told == [(after.bundle_revision, "change")]
            assert ("@second," in after.bundle_revision) == bool(names)
    finally:
        server.stop()
