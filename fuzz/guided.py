"""Coverage-guided fuzzing of the parser and the canonical form, with Atheris (libFuzzer), in an environment of its own."""

import re
from pathlib import Path
from random import Random

from fuzz.corpus import SMALL
from fuzz.environment import run as run_tool
from fuzz.environment import tool
from fuzz.mutate import arguments, document
from fuzz.tally import MAX_CHARS, Finding, Tally
from tests.edge.frames import call

TARGETS = ("parse", "message", "canonical_form")
SEEDS = 60
MAX_LENGTH = 4096
TOKENS = (
    *('"jsonrpc":"2.0"', '"id":', '"method":', '"params":{', '"result":', '"error":', '"a":', "null", "true", "1e308", "-0"),
    *("9007199254740991", "9007199254740992", "1e21", "1E400", "5e-324", "\\ud800", "\\udc00", "\\u0000", "NaN", "Infinity"),
    *("[[[[[[[[", "]]]]]]]]", '{"":{"":', "\\xed\\xa0\\x80", "\\xef\\xbb\\xbf"),
)
EXECUTED = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
COVERED = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)")
START_SECONDS = 60


def run(tally: Tally, folder: Path, seconds: float) -> None:
    """Each target for its share of the time."""
    python = tool("python")
    (folder / "tokens").write_text("".join(f'"{_escaped(token)}"\n' for token in TOKENS))
    for name in TARGETS:
        corpus = folder / name
        corpus.mkdir()
        rng = Random(f"{tally.seed}:{name}")
        made = [make(rng) for make in (document, arguments) for _ in range(SEEDS)]
        for number, data in enumerate((*SMALL, call(), *made)):
            (corpus / str(number)).write_bytes(data)
        options = [
            f"-max_total_time={max(1, round(seconds / len(TARGETS)))}",
            f"-seed={tally.seed % 2**31 or 1}",
            f"-max_len={MAX_LENGTH}",
            f"-dict={folder / 'tokens'}",
            f"-artifact_prefix={folder / name}-",
            "-print_final_stats=1",
            "-timeout=10",
        ]
        done = run_tool([python, "-m", "fuzz.guided_target", name, *options, str(corpus)], seconds + START_SECONDS, folder)
        executed, covered = EXECUTED.search(done.stderr), COVERED.findall(done.stderr)
        tally.did[f"inputs to {name}"] = int(executed[1]) if executed else 0
        if covered:
            tally.notes.append(f"{name}: {covered[0][0]} places covered by the seeds, {covered[-1][0]} at the end")
        if done.returncode != 0:
            told = done.stderr.partition("Uncaught Python exception")[2] or done.stderr[-MAX_CHARS:]
            tally.find(Finding.DISAGREEMENT, f"{name}: {told.strip(' =')}")
        tally.check(executed and int(executed[1]) > 0, f"{name}: nothing was executed: {done.stderr[-1000:]}")
        tally.check(covered and int(covered[-1][0]) > 1, f"{name}: nothing of it is instrumented")


def _escaped(token: str) -> str:
    """As libFuzzer's dictionaries want it; bytes stay as they are written."""
    return token if token.startswith("\\x") else token.replace("\\", "\\\\").replace('"', '\\"')
