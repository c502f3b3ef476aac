"""The fuzz campaign runs, says what it found, and fails where it found something, or where its teeth found nothing."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from campaign.table import table
from fuzz import differential
from fuzz.attacks import Writer, attacks
from fuzz.corpus import Kind, frame, read
from fuzz.mutate import arguments
from fuzz.oracle import message_problem, plainly
from fuzz.readers import NodeReader, disagreement
from fuzz.tally import HEADINGS, Finding, Tally
from gateway.core import wire
from tests.edge.frames import MALFORMED, call
from tests.running import REPOSITORY, RunningGateway


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fuzz.run", *options],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=115,
        check=False,
    )


@pytest.mark.long
def test_a_second_of_parsers_and_verifiers_finds_nothing_and_is_saved_with_its_seed(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    done = run("--only", "inside", "--seconds", "2", "--seed", "5", "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "seed 5" in done.stdout
    saved = json.loads(out.read_text())
    (part,) = saved["parts"]
    assert saved["seed"] == 5
    assert part["did"].keys() == {"parser", "canonical", "splitter", "entry", "checkpoint", "answer"}
    assert all(part["did"].values())
    assert (part["found"], part["passed"]) == ({}, True)


def test_one_case_can_be_run_again() -> None:
    done = run("--seed", "7", "--replay", "parser:3")
    assert (done.returncode, done.stdout) == (0, "nothing\n")


@pytest.mark.long
@pytest.mark.node
def test_a_few_documents_are_the_same_to_all_who_read_them() -> None:
    tally = Tally("differential", 5)
    differential.run(tally, Path(), 300)
    assert tally.did["documents forwarded"] >= 300
    assert tally.did["documents refused"] > 0
    assert tally.passed, tally.examples


@pytest.mark.long
@pytest.mark.node
def test_a_proxy_that_passes_on_the_clients_bytes_is_found_out() -> None:
    done = run("--only", "teeth-differential", "--seed", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| found out |" in done.stdout


@pytest.mark.long
def test_a_gateway_with_a_lenient_parser_is_found_out() -> None:
    done = run("--only", "teeth-frames", "--seed", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| found out |" in done.stdout


@pytest.mark.long
def test_a_few_frames_are_answered_and_reach_nobody(fuzzers: None) -> None:
    done = run("--only", "frames", "--frames", "800", "--seed", "5")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.long
def test_the_guided_targets_run_and_are_instrumented(fuzzers: None) -> None:
    done = run("--only", "guided", "--seconds", "6", "--seed", "5")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_finding_is_a_violation_and_its_place_is_told() -> None:
    tally = Tally("frames", 1)
    assert tally.verdict() == "ok"
    tally.find(Finding.TAKEN, "NaN over the socket")
    assert tally.verdict() == "VIOLATED"
    assert f"{HEADINGS[Finding.TAKEN]}: NaN over the socket" in table([tally])


def test_teeth_that_find_nothing_are_a_violation_too() -> None:
    tally = Tally("teeth", 1, (Finding.TAKEN, Finding.UNANSWERED))
    tally.find(Finding.TAKEN, "one")
    assert tally.verdict() == "NOT FOUND OUT"
    tally.find(Finding.UNANSWERED, "another")
    assert tally.verdict() == "found out"


def test_a_part_that_was_left_out_or_could_not_go_on_has_not_passed() -> None:
    left_out, stopped = Tally("guided", 1), Tally("frames", 1)
    left_out.left_out, stopped.stopped = "no atheris", "Traceback: no space left"
    assert not left_out.passed
    assert not stopped.passed
    told = table([left_out, stopped])
    assert "guided was left out: no atheris" in told
    assert "frames could not go on: Traceback: no space left" in told
    assert Tally.from_document(json.loads(json.dumps(left_out.document()))).document() == left_out.document()


def test_the_rules_that_the_parser_is_held_against_are_written_apart_and_agree() -> None:
    for known in (known for known in MALFORMED if len(known.data) <= wire.MAX_BYTES):
        document, problem = plainly(known.data)
        assert problem or message_problem(document), known.name
        assert read(known.data).kind is Kind.REFUSED
    assert plainly(call())[1] is None
    assert message_problem(json.loads(call())) is None


def test_frames_come_from_the_seed_and_are_of_every_kind() -> None:
    made = [[frame(Random(f"3:{number}"), number) for number in range(400)] for _ in range(2)]
    assert made[0] == made[1]
    assert {found.kind for found in made[0]} >= {Kind.REFUSED, Kind.REQUEST}
    assert any(found.kind is Kind.REFUSED and found.id is not None for found in made[0])


def test_documents_are_spelled_in_ways_that_are_taken_and_in_ways_that_are_not() -> None:
    made = [arguments(Random(f"3:{number}")) for number in range(300)]
    taken = [data for data in made if plainly(data)[1] is None]
    assert 60 < len(taken) < 240
    assert any(b"\\u" in data for data in taken)
    assert any(plainly(data)[1] == "duplicate key" for data in made)


@pytest.mark.node
def test_readers_that_differ_are_told_apart() -> None:
    frames = {
        "fine": b'{"params":{"arguments":{"a":[1,1.5,"\xe2\x80\xa8"]}}}',
        "large": b'{"params":{"arguments":{"a":9007199254740993}}}',
        "twice": b'{"params":{"arguments":{"a":1,"a":2}}}',
    }
    with NodeReader() as node:
        read_by_node = dict(zip(frames, node.arguments(list(frames.values())), strict=True))
    assert read_by_node["fine"] == '{"a":[1,1.5,"\u2028"]}'.encode()
    assert disagreement(frames["fine"], {"a": [1, 1.5, "\u2028"]}, read_by_node["fine"]) is None
    assert disagreement(frames["large"], {"a": 9007199254740993}, read_by_node["large"]) is not None
    assert "policy saw" in (disagreement(frames["twice"], {"a": 1}, read_by_node["twice"]) or "")


def test_every_attack_has_a_name_of_its_own_and_an_expected_end(tmp_path: Path) -> None:
    (tmp_path / ".sealgate" / "dev").mkdir(parents=True)
    (tmp_path / ".sealgate" / "dev" / "token").write_text("t")
    made = list(attacks(Writer(RunningGateway(tmp_path))))
    assert len({attack.name for attack in made}) == len(made) > 80
    assert all(attack.statuses for attack in made)
    assert max(len(attack.data) for attack in made) > wire.MAX_BYTES
