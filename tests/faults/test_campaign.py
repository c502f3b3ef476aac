"""The campaign runs, says what it found, and fails where it found something, or where its teeth found nothing."""

import json
import subprocess
import sys
from pathlib import Path

import apsw
import httpx2
import pytest

from campaign.table import table
from faults.cuts import run as cut
from faults.inside import Options
from faults.proxy import Proxy, Way
from faults.tally import HEADINGS, Finding, Tally
from gateway.adapters.store.sqlite.journal import SqliteJournal
from gateway.core.errors import StoreFault
from tests.running import REPOSITORY, free_port


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "faults.run", *options],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_a_few_cuts_lose_nothing_and_are_saved_with_their_seed(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    done = run("--only", "cuts", "--cuts", "6", "--seed", "5", "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "seed 5" in done.stdout
    saved = json.loads(out.read_text())
    assert saved["seed"] == 5
    (part,) = saved["parts"]
    assert part["did"]["cuts"] == 6
    assert part["did"]["calls acknowledged"] > 0
    assert part["found"] == {}
    assert part["passed"] is True


@pytest.mark.long
def test_a_gateway_that_does_not_wait_for_the_disk_is_found_out() -> None:
    done = run("--only", "teeth-sync", "--seed", "5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| found out |" in done.stdout


def test_a_finding_is_a_violation_and_its_place_is_told() -> None:
    tally = Tally("cuts", 1)
    assert tally.verdict() == "ok"
    tally.find(Finding.LOST, "life-3, cut 2: entry 7 is gone")
    told = table([tally])
    assert tally.verdict() == "VIOLATED"
    assert "| VIOLATED |" in told
    assert f"{HEADINGS[Finding.LOST]}: life-3, cut 2: entry 7 is gone" in told


def test_teeth_that_find_nothing_are_a_violation_too() -> None:
    tally = Tally("teeth", 1, (Finding.UNINTENDED, Finding.DUPLICATE))
    tally.find(Finding.UNINTENDED, "one")
    assert tally.verdict() == "NOT FOUND OUT"
    tally.find(Finding.DUPLICATE, "another")
    assert tally.verdict() == "found out"
    tally.find(Finding.OTHER, "a broken gateway breaks more than one promise")
    assert tally.verdict() == "found out"


@pytest.mark.parametrize("must_find", [(), (Finding.LOST,)])
def test_a_part_that_could_not_go_on_has_not_passed_whatever_it_found(must_find: tuple[Finding, ...]) -> None:
    tally = Tally("cuts", 1, must_find)
    tally.find(Finding.LOST, "one")
    tally.stopped = "Traceback: no space left"
    assert not tally.passed
    assert tally.verdict() == "COULD NOT GO ON"
    assert "cuts could not go on: Traceback: no space left" in table([tally])
    assert not Tally.from_document(json.loads(json.dumps(tally.document()))).passed


@pytest.mark.anyio
@pytest.mark.parametrize("error", [apsw.CorruptError("malformed"), StoreFault("it cannot be read"), TypeError("no bytes")])
async def test_a_gateway_that_fails_with_the_power_on_is_a_finding_and_the_campaign_goes_on(
    tmp_path: Path, error: Exception
) -> None:
    class FailingJournal(SqliteJournal):
        async def recover(self) -> int:
            raise error

    tally = Tally("cuts", 1)
    await cut(tally, 4, tmp_path, Options(journal=FailingJournal))
    assert tally.did["cuts"] == 4
    assert tally.found[Finding.OTHER] > 0
    assert f"with the power on, {error!r}" in tally.examples[0]


def test_a_tally_is_the_same_after_its_way_through_json() -> None:
    tally = Tally("cuts", 1, (Finding.LOST,))
    tally.did["cuts"] += 3
    tally.find(Finding.LOST, "one")
    assert Tally.from_document(json.loads(json.dumps(tally.document()))).document() == tally.document()


def test_a_proxy_with_nothing_behind_it_cuts_the_line() -> None:
    listen = free_port()
    with Proxy(listen, free_port()) as proxy:
        for way in (Way.BEFORE, Way.PASS):
            try:
                httpx2.post(f"http://127.0.0.1:{listen}/", json={"key": f"{way}-1"}, timeout=10)
            except httpx2.TransportError:
                continue
            raise AssertionError(f"{way} was answered")
        assert proxy.met == {Way.BEFORE: 1, Way.PASS: 1}
