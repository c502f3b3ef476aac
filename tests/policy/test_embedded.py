"""The embedded engine decides like its policies say, and denies whenever it cannot be asked."""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.adapters.clock import SystemClock
from gateway.adapters.policy.bundle import PolicyBundle, default_policies, load_bundle
from gateway.adapters.policy.embedded import EmbeddedEngine
from gateway.adapters.policy.process import MAX_WAITING
from gateway.adapters.policy.worker import FRAME
from gateway.core.capability import TrustLevel
from gateway.core.circumstances import Circumstances
from gateway.core.decision import POLICY_ERROR, Effect, PolicyDecision
from gateway.core.errors import ConfigError
from gateway.core.obligations import EvidenceNeed, Obligations
from tests.policy.calls import (
    DELEGATED,
    DESTRUCTIVE,
    LOCAL_WRITE,
    NETWORK,
    OWN_DELEGATION,
    READ_ONLY,
    Case,
    sealed,
)

pytestmark = pytest.mark.anyio

WAIT_SECONDS = 10.0
SHORT_SECONDS = 0.5  # for what does not end: so long each such call takes

# Allows everything, except tools whose names ask for trouble.
TROUBLE = """package sealgate.authz

allow := {"effect": "allow", "reasons": [{"code": "test.allowed", "message": "Allowed."}], "obligations": {}}

tool := input.resource.properties.tool

decision := allow if not tool in {"endless", "failing", "undefined", "effect", "obligation", "text", "null"}

decision := allow if {
	tool == "endless"
	count([1 | some i in numbers.range(1, 30000); some j in numbers.range(1, 30000); i * j == 7]) > 0
}

decision := allow if {
	tool == "failing"
	regex.match("[", tool)
}

decision := object.union(allow, {"effect": "maybe"}) if tool == "effect"

decision := object.union(allow, {"obligations": {"sing": true}}) if tool == "obligation"

decision := "allow" if tool == "text"

decision := null if tool == "null"
"""

# The calls tried at load take a while, so that a restart can be observed.
SLOW_START = """
decision := allow if {
	tool == "test"
	count([1 | some i in numbers.range(1, 120); some j in numbers.range(1, 120); i * j == 7]) > 0
}
"""


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    ],
)
def anyio_backend(request: pytest.FixtureRequest) -> object:
    """Both loops the gateway may run on: they start processes in different ways."""
    return request.param


def bundle_of(folder: Path, text: str) -> PolicyBundle:
    folder.mkdir(exist_ok=True)
    (folder / "authz.rego").write_text(text)
    return load_bundle(folder)


@pytest.fixture
def trouble(tmp_path: Path) -> PolicyBundle:
    return bundle_of(tmp_path / "trouble", TROUBLE)


@pytest.fixture
def slow_start(tmp_path: Path) -> PolicyBundle:
    return bundle_of(tmp_path / "slow_start", TROUBLE + SLOW_START)


def engine(bundle: PolicyBundle, *, deadline_seconds: float = WAIT_SECONDS) -> EmbeddedEngine:
    return EmbeddedEngine(bundle, SystemClock(), dev=False, deadline_seconds=deadline_seconds)


def codes(decision: PolicyDecision) -> list[str]:
    return [reason.code for reason in decision.reasons]


def is_denied(decision: PolicyDecision) -> bool:
    return decision.effect is Effect.DENY and decision.reasons == (POLICY_ERROR,) and bool(decision.cause)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another process does, with a bound."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():  # noqa: ASYNC110 - the other process sets no event here
            await asyncio.sleep(0.005)


async def recovered(running: EmbeddedEngine, former: int | None) -> PolicyDecision:
    """The decision on a harmless call once another process decides."""
    await until(lambda: running.pid not in (None, former))
    return await running.decide(sealed(Case()), Circumstances())


@pytest.mark.parametrize(
    ("case", "effect", "code"),
    [
        (Case(READ_ONLY), Effect.ALLOW, "read_only.allowed"),
        (Case(READ_ONLY, roles=("auditor",)), Effect.DENY, "subject.not_agent"),
        (Case(LOCAL_WRITE), Effect.ALLOW, "local_write.allowed"),
        (Case(LOCAL_WRITE, key=False), Effect.DENY, "local_write.no_key"),
        (Case(NETWORK, egress=("api.example.com",)), Effect.ALLOW, "network.allowed"),
        (Case(NETWORK, egress=("evil.example.net",)), Effect.ASK, "network.host_not_allowed"),
        (Case(NETWORK, egress=("api.example.com",), recent_calls=60), Effect.ASK, "network.rate_exceeded"),
        (Case(NETWORK), Effect.ASK, "network.egress_undeclared"),
        (Case(NETWORK, ceiling=LOCAL_WRITE), Effect.DENY, "mode.above_ceiling"),
        (Case(DELEGATED, delegation=OWN_DELEGATION), Effect.ASK, "delegated.own_approval"),
        (Case(DELEGATED), Effect.DENY, "delegation.missing"),
        (Case(DESTRUCTIVE), Effect.ASK, "destructive.approval_required"),
        (Case(DESTRUCTIVE, ceiling=READ_ONLY), Effect.DENY, "mode.above_ceiling"),
    ],
)
async def test_each_tier_has_its_default(policies_folder: Path, case: Case, effect: Effect, code: str) -> None:
    bundle = load_bundle(policies_folder)
    async with engine(bundle) as running:
        decision = await running.decide(sealed(case), Circumstances(case.recent_calls))
    assert (decision.effect, codes(decision)) == (effect, [code])
    assert (decision.engine, decision.bundle_revision, decision.cause) == ("embedded", bundle.revision, None)


@pytest.mark.parametrize(
    "tool", ["delete_database", "send_mass_email", "deploy_production", "modify_billing", "revoke_access"]
)
async def test_what_always_needs_a_person_is_asked_about_in_every_mode_as_shipped(tool: str) -> None:
    async with engine(load_bundle(default_policies())) as running:
        for mode in (READ_ONLY, LOCAL_WRITE, NETWORK, DESTRUCTIVE):
            decision = await running.decide(sealed(Case(mode, tool=tool)), Circumstances())
            assert (decision.effect, "always_ask.listed" in codes(decision)) == (Effect.ASK, True), mode


@pytest.mark.parametrize(("name", "near"), [("budget", "did you mean budgets?"), ("tenant", "tenants"), ("zzz", "zzz")])
async def test_a_setting_with_a_mistyped_name_is_refused_with_the_nearest_one(tmp_path: Path, name: str, near: str) -> None:
    folder = tmp_path / "policies"
    shutil.copytree(default_policies(), folder)
    data = json.loads((folder / "data.json").read_text())
    data["sealgate"]["settings"][name] = {"run_calls": 1}
    (folder / "data.json").write_text(json.dumps(data))
    with pytest.raises(ConfigError, match=f"settings.{name}") as refused:
        async with engine(load_bundle(folder)):
            pass
    assert near in refused.value.message
    data["sealgate"]["settings"]["own"] = {name: data["sealgate"]["settings"].pop(name)}
    (folder / "data.json").write_text(json.dumps(data))
    async with engine(load_bundle(folder)) as running:
        decision = await running.decide(sealed(Case(READ_ONLY)), Circumstances())
    assert decision.effect is Effect.ALLOW


async def test_the_list_of_what_always_needs_a_person_is_the_operators(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    shutil.copytree(default_policies(), folder)
    data = json.loads((folder / "data.json").read_text())
    data["sealgate"]["settings"]["always_ask"] = ["mail__send"]
    (folder / "data.json").write_text(json.dumps(data))
    async with engine(load_bundle(folder)) as running:
        listed = await running.decide(sealed(Case(LOCAL_WRITE, tool="send")), Circumstances())
        shipped = await running.decide(sealed(Case(LOCAL_WRITE, tool="revoke_access")), Circumstances())
    assert (listed.effect, shipped.effect) == (Effect.ASK, Effect.ALLOW)


async def test_a_delegated_call_names_its_principal_as_approver(policies_folder: Path) -> None:
    async with engine(load_bundle(policies_folder)) as running:
        decision = await running.decide(sealed(Case(DELEGATED, delegation=OWN_DELEGATION)), Circumstances())
    assert decision.obligations == Obligations(approver="user:alice", evidence=EvidenceNeed(1, TrustLevel.UNTRUSTED))


async def test_many_decisions_in_flight_each_get_their_own_answer(policies_folder: Path) -> None:
    cases = [Case(mode) for mode in (READ_ONLY, LOCAL_WRITE, NETWORK, DELEGATED, DESTRUCTIVE)] * 40
    expected = ["read_only.allowed", "local_write.allowed", "network.egress_undeclared", "delegation.missing"]
    expected = [*expected, "destructive.approval_required"] * 40
    async with engine(load_bundle(policies_folder)) as running:
        decisions = await asyncio.gather(*(running.decide(sealed(case), Circumstances()) for case in cases))
    assert [codes(decision) for decision in decisions] == [[code] for code in expected]
    assert len({decision.decision_id for decision in decisions}) == len(cases)


async def test_a_policy_that_does_not_end_is_killed_and_the_next_call_decided(trouble: PolicyBundle) -> None:
    async with engine(trouble, deadline_seconds=SHORT_SECONDS) as running:
        former = running.pid
        started = time.monotonic()
        decision = await running.decide(sealed(Case(tool="endless")), Circumstances())
        took = time.monotonic() - started
        assert is_denied(decision)
        assert "did not end" in str(decision.cause)
        assert decision.bundle_revision == trouble.revision
        assert SHORT_SECONDS * 0.9 < took < WAIT_SECONDS
        after = await recovered(running, former)
        assert codes(after) == ["test.allowed"]
        assert former is not None
        await until(lambda: not _runs(former))


async def test_calls_behind_a_policy_that_does_not_end_are_denied_not_hung(trouble: PolicyBundle) -> None:
    async with engine(trouble, deadline_seconds=SHORT_SECONDS) as running:
        former = running.pid
        calls = [sealed(Case(tool="endless")), *(sealed(Case()) for _ in range(20))]
        async with asyncio.timeout(WAIT_SECONDS):
            decisions = await asyncio.gather(*(running.decide(call, Circumstances()) for call in calls))
        assert all(is_denied(decision) for decision in decisions)
        assert codes(await recovered(running, former)) == ["test.allowed"]


async def test_more_calls_than_can_wait_are_denied_at_once(trouble: PolicyBundle) -> None:
    async with engine(trouble) as running:
        former = running.pid
        assert former is not None
        os.kill(former, signal.SIGSTOP)
        call = sealed(Case())
        waiting = [asyncio.create_task(running.decide(call, Circumstances())) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)
        refused = await running.decide(call, Circumstances())
        os.kill(former, signal.SIGCONT)
        decisions = await asyncio.gather(*waiting)
    assert is_denied(refused)
    assert "waiting already" in str(refused.cause)
    assert all(codes(decision) == ["test.allowed"] for decision in decisions)


async def test_a_call_during_the_restart_waits_within_its_deadline(slow_start: PolicyBundle) -> None:
    async with engine(slow_start) as running:
        assert running.pid is not None
        os.kill(running.pid, signal.SIGKILL)
        await until(lambda: running.pid is None)
        assert codes(await running.decide(sealed(Case()), Circumstances())) == ["test.allowed"]


async def test_a_call_that_waits_too_long_for_the_restart_is_denied(slow_start: PolicyBundle) -> None:
    async with engine(slow_start, deadline_seconds=0.01) as running:
        assert running.pid is not None
        os.kill(running.pid, signal.SIGKILL)
        await until(lambda: running.pid is None)
        assert is_denied(await running.decide(sealed(Case()), Circumstances()))


async def test_a_caller_that_goes_away_does_not_keep_an_endless_policy_alive(trouble: PolicyBundle) -> None:
    async with engine(trouble, deadline_seconds=SHORT_SECONDS) as running:
        former = running.pid
        asking = asyncio.create_task(running.decide(sealed(Case(tool="endless")), Circumstances()))
        await asyncio.sleep(0)
        asking.cancel()
        assert codes(await recovered(running, former)) == ["test.allowed"]


async def test_a_caller_that_goes_away_does_not_shift_the_answers(trouble: PolicyBundle) -> None:
    async with engine(trouble) as running:
        first = asyncio.create_task(running.decide(sealed(Case(tool="text")), Circumstances()))
        second = asyncio.create_task(running.decide(sealed(Case()), Circumstances()))
        await asyncio.sleep(0)
        first.cancel()
        assert codes(await second) == ["test.allowed"]


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGSEGV])
async def test_a_process_that_dies_denies_what_it_had_and_is_replaced(trouble: PolicyBundle, sent: signal.Signals) -> None:
    async with engine(trouble) as running:
        former = running.pid
        assert former is not None
        os.kill(former, signal.SIGSTOP)  # so that the calls are in flight when it dies
        asking = [asyncio.create_task(running.decide(sealed(Case()), Circumstances())) for _ in range(5)]
        await asyncio.sleep(0)
        os.kill(former, sent)
        if sent is not signal.SIGKILL:
            os.kill(former, signal.SIGCONT)  # a stopped process takes other signals only then
        decisions = await asyncio.gather(*asking)
        assert all(is_denied(decision) and "ended by itself" in str(decision.cause) for decision in decisions)
        assert codes(await recovered(running, former)) == ["test.allowed"]


@pytest.mark.parametrize(
    ("tool", "cause"),
    [
        ("failing", "regex"),
        ("undefined", "undefined"),
        ("effect", "effect is none of allow, ask and deny"),
        ("obligation", "unknown obligation: this gateway knows"),
        ("text", "not a decision document"),
        ("null", "not a decision document"),
    ],
)
async def test_what_is_no_decision_is_a_deny_and_the_engine_goes_on(trouble: PolicyBundle, tool: str, cause: str) -> None:
    async with engine(trouble) as running:
        former = running.pid
        decision = await running.decide(sealed(Case(tool=tool)), Circumstances())
        assert is_denied(decision)
        assert cause in str(decision.cause)
        assert codes(await running.decide(sealed(Case()), Circumstances())) == ["test.allowed"]
        assert running.pid == former


async def test_a_reload_decides_with_the_new_policies(trouble: PolicyBundle, policies_folder: Path) -> None:
    async with engine(trouble) as running:
        former = running.pid
        bundle = load_bundle(policies_folder)
        await running.reload(bundle)
        decision = await running.decide(sealed(Case()), Circumstances())
        assert (codes(decision), decision.bundle_revision) == (["read_only.allowed"], bundle.revision)
        assert running.revision == bundle.revision
        assert running.pid != former


async def test_calls_during_reloads_are_all_decided(trouble: PolicyBundle, policies_folder: Path) -> None:
    other = load_bundle(policies_folder)
    said = {trouble.revision: ["test.allowed"], other.revision: ["read_only.allowed"]}
    async with engine(trouble) as running:
        reloading = asyncio.create_task(_reload_each(running, [other, trouble, other]))
        decisions: list[PolicyDecision] = []
        while not reloading.done():
            decisions.extend(await asyncio.gather(*(running.decide(sealed(Case()), Circumstances()) for _ in range(8))))
        await reloading
    assert all(codes(decision) == said[decision.bundle_revision] for decision in decisions)
    assert {decision.bundle_revision for decision in decisions} == set(said)


async def _reload_each(running: EmbeddedEngine, bundles: list[PolicyBundle]) -> None:
    for bundle in bundles:
        await running.reload(bundle)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TROUBLE.replace("decision := null", "decision := := null"), "authz.rego:25: expecting expression"),
        (TROUBLE + '\ndecision := net.no_such(tool) if tool == "test"\n', "authz.rego:27: could not find function"),
        (TROUBLE + '\ndecision := {} if tool == "test"\n', "authz.rego:27: rule conflicts with rule"),
        (TROUBLE.replace("not tool in", "tool in"), "cannot decide a complete read_only call"),
        (TROUBLE.replace('"endless"', '"test"'), "did not end within 1.0 s"),
        ("package other\n\nx := 1\n", "not a valid rule path"),
    ],
)
async def test_a_reload_with_a_broken_policy_keeps_the_old_one(
    tmp_path: Path, trouble: PolicyBundle, text: str, said: str
) -> None:
    async with engine(trouble, deadline_seconds=SHORT_SECONDS) as running:
        former = running.pid
        with pytest.raises(ConfigError) as raised:
            await running.reload(bundle_of(tmp_path / "broken", text))
        assert said in raised.value.message
        assert raised.value.hint
        assert (running.revision, running.pid) == (trouble.revision, former)
        assert codes(await running.decide(sealed(Case()), Circumstances())) == ["test.allowed"]


async def test_data_cannot_stand_in_for_a_rule(tmp_path: Path) -> None:
    bundle_of(tmp_path / "data", TROUBLE)
    (tmp_path / "data" / "data.json").write_text('{"sealgate": {"authz": {"decision": {"effect": "allow", "reasons": []}}}}')
    with pytest.raises(ConfigError, match=r"gives a value to data\.sealgate\.authz"):
        async with engine(load_bundle(tmp_path / "data")):
            pass


async def test_an_engine_whose_first_policy_is_broken_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"authz\.rego:1"):
        async with engine(bundle_of(tmp_path / "broken", "package sealgate authz\n")):
            pass


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
async def test_the_process_has_one_socket_and_nothing_else(trouble: PolicyBundle) -> None:
    ours = os.dup(0)
    os.set_inheritable(ours, True)
    try:
        async with engine(trouble) as running:
            assert running.pid is not None
            files, environment = _files_and_environment(running.pid)
            assert os.getsid(running.pid) == running.pid
    finally:
        os.close(ours)
    assert sorted(file.split(":")[0] for file in files) == ["/dev/null", "/dev/null", "/dev/null", "socket"]
    assert b"HOME=" not in environment


def _files_and_environment(pid: int) -> tuple[list[str], bytes]:
    process = Path("/proc") / str(pid)
    return [os.readlink(link) for link in (process / "fd").iterdir()], (process / "environ").read_bytes()


async def test_the_process_ends_with_the_gateway(tmp_path: Path) -> None:
    script = tmp_path / "gateway_that_dies.py"
    script.write_text(
        "import asyncio, os\n"
        "from gateway.adapters.clock import SystemClock\n"
        "from gateway.adapters.policy.bundle import default_policies, load_bundle\n"
        "from gateway.adapters.policy.embedded import EmbeddedEngine\n"
        "async def main():\n"
        "    async with EmbeddedEngine(load_bundle(default_policies()), SystemClock(), dev=False) as running:\n"
        "        print(running.pid, flush=True)\n"
        "        os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    source = default_policies().parent
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(source)}
    )
    output, _ = await process.communicate()
    pid = int(output)
    await until(lambda: not _runs(pid))


async def test_a_worker_whose_gateway_is_gone_ends_even_in_an_endless_policy() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                f"from gateway.adapters.policy.worker import main; main({theirs.fileno()}, 0.5)",
                pass_fds=(theirs.fileno(),),
                env={**os.environ, "PYTHONPATH": str(default_policies().parent)},
            )
        ours.setblocking(False)
        bundle = {
            "modules": {"authz.rego": TROUBLE},
            "data": {},
            "roots": [""],
            "entry_point": "data.sealgate.authz.decision",
        }
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(ours, _frame(b"L", bundle))
        assert (await loop.sock_recv(ours, 100))[FRAME.size :] == b"true"
        await loop.sock_sendall(ours, _frame(b"D", {"resource": {"properties": {"tool": "endless"}}}))
    async with asyncio.timeout(WAIT_SECONDS):
        assert await process.wait() == -signal.SIGALRM


def _frame(kind: bytes, document: object) -> bytes:
    payload = json.dumps(document).encode()
    return FRAME.pack(len(payload), kind) + payload


def _runs(pid: int) -> bool:
    """Whether it runs; a zombie that nobody collects does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
