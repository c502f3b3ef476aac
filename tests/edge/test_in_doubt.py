"""Calls in doubt: they are listed, never run again by themselves, and end by one verdict, a person's or a tool's."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.core.entry import Entry, Kind
from tests.edge.box import Box, Said
from tests.edge.shop import envelope_of, lose, shop_in
from tests.running import ModernClient, outcome, text, until

TOLD = {"run_id": "is-told"}  # what somebody else told of a call is not believed: it taints the run that asks for it
RESULT = {"content": [{"type": "text", "text": "paid, says the bank"}]}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with shop_in(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.fixture
def client(shop: Box) -> Iterator[ModernClient]:
    with ModernClient(shop.gateway) as client:
        yield client


def listed(shop: Box, envelope: str) -> dict[str, Any] | None:
    """What `runs in-doubt` says of this call."""
    calls = shop.json("runs", "in-doubt")["in_doubt"]
    return next((call for call in calls if call["envelope_id"] == envelope), None)


def resolve(shop: Box, envelope: str, verdict: str, *more: str) -> Said:
    return shop.run("runs", "resolve", envelope, "--as", verdict, "--reason", "the bank's statement", *more)


def resolutions(shop: Box, envelope: str) -> list[Entry]:
    """The verdicts on this call in the log."""
    found = [entry for entry in shop.entries() if entry.kind is Kind.RESOLUTION]
    return [entry for entry in found if entry.predicate["resolution"]["envelope_id"] == envelope]


def test_a_lost_call_is_listed_with_what_who_since_when_and_why(shop: Box, client: ModernClient) -> None:
    envelope = lose(client, "hang-listed")
    call = listed(shop, envelope)
    assert call is not None
    assert (call["tool"], call["why"], call["reconcile"]) == ("ledger__pay", "upstream.timeout", "ledger__status")
    assert call["principal_chain"][-1] == "agent:dev-client"
    since = next(entry.predicate["recorded_at"] for entry in shop.entries() if entry.id == envelope)
    assert since <= call["since"]
    said = shop.run("runs", "in-doubt")
    assert envelope in said.stdout
    assert "hang-listed" not in said.stdout


def test_a_call_in_doubt_is_not_run_again(shop: Box, client: ModernClient) -> None:
    lose(client, "hang-again")
    for _ in range(2):
        retried = client.call("ledger__pay", {"order": "hang-again"}, key="hang-again")
        assert outcome(retried) == {"outcome": "in_doubt", "reasons": ["idempotency.in_doubt"]}
    assert shop.lines("rows").count("pay hang-again") == 1


def test_what_an_operator_says_was_done_with_a_result_is_replayed_as_the_operators(
    shop: Box, client: ModernClient, tmp_path: Path
) -> None:
    envelope = lose(client, "hang-told")
    result = tmp_path / "result.json"
    result.write_text(json.dumps(RESULT))
    assert resolve(shop, envelope, "completed", "--result", str(result), "--by", "carol").code == 0
    assert listed(shop, envelope) is None
    retried = client.call("ledger__pay", {"order": "hang-told"}, key="hang-told", run=TOLD)
    assert outcome(retried) == {"outcome": "replayed", "resolved_by": "operator"}
    assert retried["result"]["content"] == RESULT["content"]
    assert shop.lines("rows").count("pay hang-told") == 1
    (entry,) = resolutions(shop, envelope)
    told = entry.predicate["resolution"]
    assert (told["verdict"], told["method"], told["by"]) == ("completed", "operator", "carol")
    assert told["reason"] == "the bank's statement"
    assert told["result_commitment"]
    assert "says the bank" not in str(entry.predicate)


def test_what_an_operator_says_was_done_without_a_result_is_told_and_never_run(shop: Box, client: ModernClient) -> None:
    envelope = lose(client, "hang-silent")
    assert resolve(shop, envelope, "completed").code == 0
    retried = client.call("ledger__pay", {"order": "hang-silent"}, key="hang-silent")
    assert outcome(retried) == {"outcome": "conflict", "reasons": ["idempotency.result_gone"]}
    assert "its result is not known" in text(retried)
    assert shop.lines("rows").count("pay hang-silent") == 1


def test_what_an_operator_says_failed_frees_its_key(shop: Box, client: ModernClient) -> None:
    envelope = lose(client, "hang-free")
    assert resolve(shop, envelope, "failed").code == 0
    lose(client, "hang-free")
    assert shop.lines("rows").count("pay hang-free") == 2


@pytest.mark.parametrize("second", ["completed", "failed"])
def test_a_second_verdict_is_refused(shop: Box, client: ModernClient, second: str) -> None:
    envelope = lose(client, f"hang-second-{second}")
    assert resolve(shop, envelope, "completed").code == 0
    said = resolve(shop, envelope, second)
    assert said.code == 1
    assert "resolution.not_in_doubt" in said.stderr
    assert len(resolutions(shop, envelope)) == 1


def test_a_verdict_on_a_call_that_was_done_or_never_was_is_refused(shop: Box, client: ModernClient) -> None:
    done = envelope_of(client.call("ledger__pay", {"order": "plain"}, key="plain"))
    for envelope, code in ((done, "resolution.not_in_doubt"), ("no-such-call", "resolution.unknown")):
        for said in (resolve(shop, envelope, "failed"), shop.run("runs", "reconcile", envelope)):
            assert said.code == 1
            assert code in said.stderr
    again = client.call("ledger__pay", {"order": "plain"}, key="plain")
    assert outcome(again) == {"outcome": "replayed"}


@pytest.mark.parametrize(
    "content",
    [
        "{",
        '{"content": "no list"}',
        "[]",
        '{"content": [], "content": []}',
        '{"content": [], "isError": "true"}',
        '{"content": [], "_meta": "of no form"}',
        '{"content": [], "resultType": "input_required"}',
    ],
)
def test_a_result_that_is_no_tool_result_is_refused_and_the_call_stays_in_doubt(
    shop: Box, client: ModernClient, tmp_path: Path, content: str
) -> None:
    envelope = lose(client, f"hang-badresult-{len(content)}")
    result = tmp_path / "result.json"
    result.write_text(content)
    said = resolve(shop, envelope, "completed", "--result", str(result))
    assert said.code == 1
    assert "resolution.result" in said.stderr
    assert listed(shop, envelope) is not None


def test_a_result_may_be_as_large_as_the_servers_own_answers_and_no_larger(
    shop: Box, client: ModernClient, tmp_path: Path
) -> None:
    envelope = lose(client, "hang-large")
    result = tmp_path / "result.json"
    frame = len(json.dumps({"content": [{"type": "text", "text": ""}]}, separators=(",", ":")))
    for size, code in (((1 << 20) + (16 << 10), 1), (1 << 20, 0)):
        content = {"content": [{"type": "text", "text": "x" * (size - frame)}]}
        result.write_text(json.dumps(content, separators=(",", ":")))
        said = resolve(shop, envelope, "completed", "--result", str(result))
        assert said.code == code, said.stderr
        assert code == 0 or "ledger may answer with 1048576 bytes" in said.stderr
    assert outcome(client.call("ledger__pay", {"order": "hang-large"}, key="hang-large", run=TOLD))["outcome"] == "replayed"


def test_a_result_that_nobody_could_have_answered_with_is_not_read(shop: Box, client: ModernClient, tmp_path: Path) -> None:
    envelope = lose(client, "hang-endless")
    huge, pipe = tmp_path / "huge.json", tmp_path / "pipe"
    with huge.open("wb") as file:
        file.truncate(1 << 33)
    os.mkfifo(pipe)  # nobody ever writes into it
    for path, why in ((huge, "is too large"), (pipe, "is no regular file"), (tmp_path, "cannot read the result")):
        said = resolve(shop, envelope, "completed", "--result", str(path))
        assert (said.code, "error[resolution.result]" in said.stderr, why in said.stderr) == (1, True, True), said
    assert listed(shop, envelope) is not None


def test_a_failed_call_has_no_result(shop: Box, client: ModernClient, tmp_path: Path) -> None:
    envelope = lose(client, "hang-noresult")
    (tmp_path / "result.json").write_text(json.dumps(RESULT))
    assert resolve(shop, envelope, "failed", "--result", str(tmp_path / "result.json")).code == 1
    assert listed(shop, envelope) is not None


def test_the_registered_tool_that_says_it_was_done_ends_the_doubt(shop: Box, client: ModernClient) -> None:
    envelope = lose(client, "hang-done")
    start = shop.size()
    said = shop.json("runs", "reconcile", envelope)
    assert [(one["envelope_id"], one["verdict"]) for one in said["reconciled"]] == [(envelope, "completed")]
    assert shop.lines("asked")[-1] == '{"arguments": {"order": "hang-done"}, "tool": "pay"}'
    asked, entry = shop.entries(start)[:2]
    assert (asked.kind, asked.predicate["run"]["principal_chain"]) == (Kind.OUTCOME, ["service:sealgate-reconcile"])
    assert asked.predicate["policy"]["effect"] == "allow"
    told = entry.predicate["resolution"]
    assert (entry.kind, told["method"], told["by"]) == (Kind.RESOLUTION, "reconcile", "service:sealgate-reconcile")
    assert told["evidence_envelope_id"] == asked.id
    retried = client.call("ledger__pay", {"order": "hang-done"}, key="hang-done", run=TOLD)
    assert outcome(retried) == {"outcome": "replayed", "resolved_by": "reconcile"}
    assert text(retried) == "pay: hang-done"
    assert retried["result"]["_meta"]["dev.sealgate/evidence"]["trust_level"] == "untrusted"
    assert outcome(client.call("ledger__pay", {"order": "in-the-same-run"}, run=TOLD))["reasons"] == ["flow.no_intent"]
    assert shop.lines("rows").count("pay hang-done") == 1


def test_the_registered_tool_that_says_it_was_not_done_frees_the_key(shop: Box, client: ModernClient) -> None:
    envelope = lose(client, "hang-not-done")
    (one,) = shop.json("runs", "reconcile", envelope)["reconciled"]
    assert one["verdict"] == "failed"
    lose(client, "hang-not-done")
    assert shop.lines("rows").count("pay hang-not-done") == 2


def test_the_stored_answer_to_an_earlier_question_is_no_verdict_on_a_later_call(shop: Box, client: ModernClient) -> None:
    first = lose(client, "hang-not-kept", "ledger__charge")
    (one,) = shop.json("runs", "reconcile", first)["reconciled"]
    assert one["verdict"] == "failed"
    second = lose(client, "hang-not-kept", "ledger__charge")
    said = shop.run("runs", "reconcile", second)
    assert (said.code, "asked the same a moment ago" in said.stdout) == (1, True)
    assert listed(shop, second) is not None
    assert resolutions(shop, second) == []
    assert resolve(shop, second, "completed").code == 0


@pytest.mark.parametrize(("order", "why"), [("hang-vague-1", "does not know"), ("hang-odd-1", "unusable")])
def test_whatever_is_no_definite_answer_leaves_the_call_in_doubt(
    shop: Box, client: ModernClient, order: str, why: str
) -> None:
    envelope = lose(client, order)
    said = shop.run("runs", "reconcile", envelope, "--json")
    assert said.code == 1
    (one,) = json.loads(said.stdout)["reconciled"]
    assert one["verdict"] is None
    assert why in one["why"]
    assert listed(shop, envelope) is not None
    assert resolutions(shop, envelope) == []


def test_a_call_that_no_tool_can_tell_about_is_for_a_person(shop: Box, client: ModernClient) -> None:
    envelope = lose(client, "hang-book", "ledger__book")
    said = shop.run("runs", "reconcile", envelope)
    assert (said.code, "reconcile.not_registered" in said.stderr) == (1, True)
    assert resolve(shop, envelope, "completed").code == 0


def test_all_calls_that_a_tool_can_tell_about_are_asked_at_once(shop: Box, client: ModernClient) -> None:
    envelopes = {lose(client, f"hang-all-{number}") for number in range(2)}
    said = json.loads(shop.run("runs", "reconcile", "--all", "--json").stdout)["reconciled"]
    assert envelopes <= {one["envelope_id"] for one in said if one["verdict"] == "completed"}
    assert all(listed(shop, envelope) is None for envelope in envelopes)


def test_what_is_kept_of_a_question_is_erased_with_the_values_of_the_lost_calls_subject(tmp_path: Path) -> None:
    with shop_in(tmp_path) as shop, ModernClient(shop.gateway) as client:
        envelope = lose(client, "hang-erased")
        call = listed(shop, envelope)
        assert call is not None
        shop.json("runs", "reconcile", envelope)
        (told,) = (entry.predicate["resolution"] for entry in resolutions(shop, envelope))
        question = told["evidence_envelope_id"]
        assert "hang-erased" in shop.run("log", "disclose", question).stdout
        shop.json("log", "erase", "--subject", call["subject"], "--reason", "asked for it", "--yes")
        for one in (envelope, question):
            shown = json.loads(shop.run("log", "disclose", one, "--json").stdout)
            assert shown["disclosed"] == []
            assert {held["why"] for held in shown["withheld"]} == {"erased: its key was destroyed"}


def test_a_call_cut_off_by_a_kill_is_listed_and_can_be_resolved_after_the_restart(tmp_path: Path) -> None:
    with shop_in(tmp_path) as shop:
        with ModernClient(shop.gateway) as client, ThreadPoolExecutor(1) as aside:
            cut = aside.submit(client.call, "ledger__pay", {"order": "hang-cut"}, key="hang-cut")
            until(lambda: shop.lines("rows"), what="the effect")
            shop.gateway.kill()
            assert isinstance(cut.exception(timeout=20), httpx2.TransportError | ValueError)
        shop.gateway.start()
        (call,) = shop.json("runs", "in-doubt")["in_doubt"]
        assert (call["tool"], call["why"]) == ("ledger__pay", "gateway.restarted")
        (one,) = shop.json("runs", "reconcile", call["envelope_id"])["reconciled"]
        assert one["verdict"] == "completed"
        with ModernClient(shop.gateway) as client:
            retried = client.call("ledger__pay", {"order": "hang-cut"}, key="hang-cut")
        assert outcome(retried) == {"outcome": "replayed", "resolved_by": "reconcile"}
        assert shop.lines("rows") == ["pay hang-cut"]
