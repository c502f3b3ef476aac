"""What holds for every file of the packaged policies, so that both engines read them alike."""

import asyncio
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from gateway.adapters.policy.bundle import PolicyBundle, default_policies, load_bundle
from gateway.adapters.policy.process import Fault, PolicyProcess
from gateway.adapters.policy.smoke import smoke_inputs
from gateway.core.decision import ENTRY_POINT
from tests.policy.capabilities import FILE, shared, text

SECONDS = 10.0
BUNDLE = load_bundle(default_policies())
SETTINGS = {  # which deny nothing: the calls below are made on a Thursday
    "tenants": {"default": {"roles": {"agent": {"max_mode": "destructive"}}}},
    "windows": {"smoke__*": [{"days": ["Thursday"], "from": "00:00", "to": "24:00"}]},
    **{name: {} for name in ("approvals", "budgets", "constraints", "downgrades", "results")},
    "pin_egress": True,
}
WHOLE = replace(
    BUNDLE, written_data=orjson.dumps({"sealgate": {"settings": {**BUNDLE.data["sealgate"]["settings"], **SETTINGS}}})
)
"""The library with every concern switched on."""

IMPORTED = re.compile(r"^import data\.(?:\w+\.)*(\w+)$", re.MULTILINE)
FUNCTION = re.compile(r"^\w+\(.*?\)[^\n]*(?:\n(?!\n).*)*", re.MULTILINE)


def check(opa_binary: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [opa_binary, "check", "--strict", "--capabilities", str(FILE), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def reads_of_imports(text: str, imported: Iterable[str]) -> Iterator[str]:
    """Where `text` reads data by the name of an import; a call of an imported function is none."""
    for name in imported:
        yield from re.findall(rf"(?<![\w.\"]){name}(?:\.\w+)*[.\[]\w+\b(?!\()", text)


def wrong_reads(module: str) -> list[str]:
    """What the embedded engine would not find, or would evaluate whole packages for."""
    imported = set(IMPORTED.findall(module))
    bare = re.sub(r'"[^"\n]*"|#.*|^import .*', '""', module, flags=re.MULTILINE)
    in_functions = (found for function in FUNCTION.findall(bare) for found in reads_of_imports(function, imported))
    return [*reads_of_imports(bare, imported - {"settings"}), *in_functions]


@pytest.mark.parametrize("name", sorted(BUNDLE.modules))
def test_each_package_says_what_it_is_for_and_has_tests(name: str) -> None:
    assert BUNDLE.modules[name].startswith("# METADATA\n# title: ")
    assert "\ntest_" in BUNDLE.tests[name.replace(".rego", "_test.rego")]


@pytest.mark.parametrize("name", sorted(BUNDLE.modules))
def test_data_and_rules_are_named_in_full_where_the_embedded_engine_needs_it(name: str) -> None:
    # regorus evaluates every rule of an imported package that is read from; and in a function that another package calls,
    # an imported name is undefined once a rule of the function's package was evaluated.
    assert wrong_reads(BUNDLE.modules[name]) == []


@pytest.mark.anyio
@pytest.mark.parametrize("name", sorted(BUNDLE.modules))
async def test_a_library_with_a_part_missing_denies(name: str) -> None:
    assert await embedded(without(name), smoke_call(name)) == "deny"


@pytest.mark.opa
@pytest.mark.parametrize("name", sorted(BUNDLE.modules))
def test_a_real_opa_denies_with_a_part_missing_too(opa_binary: str, tmp_path: Path, name: str) -> None:
    assert opa(opa_binary, tmp_path, without(name), smoke_call(name)) == "deny"


async def embedded(bundle: PolicyBundle, call: bytes) -> str:
    """The effect to a caller; an error is a deny."""
    process = await PolicyProcess.start(lambda ended: None)
    try:
        await process.load(bundle, SECONDS)
        process.patience = SECONDS
        answer = await process.ask(b"D", call, asyncio.get_running_loop().time() + SECONDS)
    finally:
        await process.stop()
    return "deny" if isinstance(answer, Fault) else str(orjson.loads(answer)["effect"])


def opa(binary: str, folder: Path, bundle: PolicyBundle, call: bytes) -> str:
    """The same, of a real OPA."""
    for file, module in bundle.modules.items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(module)
    (folder / "data.json").write_bytes(orjson.dumps(bundle.data))
    command = [binary, "eval", "--strict-builtin-errors", "--format", "raw", "--stdin-input", "-d", str(folder), ENTRY_POINT]
    done = subprocess.run(command, input=call, capture_output=True, check=False)
    return str(orjson.loads(done.stdout)["effect"]) if done.returncode == 0 and done.stdout else "deny"


def without(name: str) -> PolicyBundle:
    return replace(WHOLE, modules={file: module for file, module in BUNDLE.modules.items() if file != name})


def smoke_call(name: str) -> bytes:
    """A call that the whole library does not deny, of a mode that needs the file."""
    delegated = {"concerns/delegation.rego"}
    mode = Path(name).stem if name.startswith("tiers/") else "delegated" if name in delegated else "network"
    what = "complete {} call" if name != "concerns/flow.rego" else "{} call with fields in a run that is covered"
    return dict(smoke_inputs())[f"a {what.format(mode)}"]


HOUSE = 'package sealgate.authz\n\nobligations.max_result_bytes := 4096 if input.resource.id == "smoke__test"\n'


@pytest.mark.anyio
@pytest.mark.opa
@pytest.mark.parametrize(("size", "effect"), [(4096, "allow"), (8192, "deny")])
async def test_rules_that_bind_the_gateway_differently_deny(opa_binary: str, tmp_path: Path, size: int, effect: str) -> None:
    settings = {**BUNDLE.data["sealgate"]["settings"], "results": {"smoke__test": {"max_bytes": size}}}
    data = orjson.dumps({"sealgate": {"settings": settings}})
    bundle = replace(BUNDLE, modules={**BUNDLE.modules, "house.rego": HOUSE}, written_data=data)
    call = smoke_call("tiers/read_only.rego")
    assert await embedded(bundle, call) == opa(opa_binary, tmp_path, bundle, call) == effect


@pytest.mark.anyio
async def test_the_whole_library_denies_none_of_those_calls() -> None:
    for call in {smoke_call(name) for name in BUNDLE.modules}:
        assert await embedded(WHOLE, call) != "deny"


def test_reads_by_an_imported_name_are_found() -> None:
    module = "import data.b.settings\nimport data.c\n\nf(x) if {\n\tx == 1\n\tx in settings.list\n}\n\nr if c.d == c.f(1)\n"
    assert wrong_reads(module) == ["c.d", "settings.list"]
    assert wrong_reads(module.replace("in settings", "in data.b.settings").replace("c.d", "data.c.d")) == []


@pytest.mark.opa
def test_the_policies_use_only_what_both_engines_have(opa_binary: str) -> None:
    done = check(opa_binary, default_policies())
    assert done.returncode == 0, done.stderr


@pytest.mark.opa
@pytest.mark.parametrize("value", ['crypto.sha256("a")', "time.now_ns()", 'http.send({"url": "a", "method": "get"})'])
def test_what_one_engine_lacks_or_no_decision_should_depend_on_is_found(opa_binary: str, tmp_path: Path, value: str) -> None:
    (tmp_path / "a.rego").write_text(f"package a\n\nvalue := {value}\n")
    done = check(opa_binary, tmp_path)
    assert done.returncode != 0
    assert "undefined function" in done.stderr


@pytest.mark.opa
def test_the_list_of_what_both_have_is_as_the_engines_are_now(opa_binary: str) -> None:
    assert FILE.read_text() == text(shared(opa_binary)), "write it anew: python -m tests.policy.capabilities OPA"
