"""The house keeps its promises: targets that people are told to run exist, and locks are hashed and name no index."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted([*ROOT.glob("locks/*.lock"), ROOT / ".ci" / "lint.lock"])
PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==\S+")
PAGES = sorted(page for page in [*ROOT.glob("*.md"), *ROOT.glob("examples/*.md"), *ROOT.glob("docs/**/*.md")])


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    # Called from `make test`, this make must not take over the outer one's flags.
    environment = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}
    return subprocess.run(["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def pins(lock: Path) -> dict[str, str]:
    """Each pinned package with its lines."""
    found: dict[str, str] = {}
    name = ""
    for line in lock.read_text().splitlines():
        pin = PIN.match(line)
        name = pin[1] if pin else name
        if name:
            found[name] = f"{found.get(name, '')}{line}\n"
    return found


@pytest.mark.parametrize("target", ["run", "demo", "test", "check", "bench", "bench-security", "fuzz", "lock", "clean"])
def test_a_promised_target_exists_and_make_help_lists_it(target: str) -> None:
    assert make("--dry-run", target).returncode == 0
    assert re.search(rf"^  make {target} +\w", make().stdout, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_target_that_a_page_tells_to_run_exists(page: Path) -> None:
    told = set(re.findall(r"^\s*(?:\$ )?make ([a-z]+)|`make ([a-z]+)", page.read_text(), re.MULTILINE))
    for target in {first or second for first, second in told}:
        assert make("--dry-run", target).returncode == 0, f"{page.name} tells to run make {target}"


@pytest.mark.parametrize("lock", LOCKS, ids=[lock.name for lock in LOCKS])
def test_a_lock_names_no_index_and_hashes_every_package(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert not re.search(r"^\s*(-i|-f|--index-url|--extra-index-url|--find-links|--trusted-host)\b", text, re.MULTILINE)
    assert pins(lock)
    assert [name for name, lines in pins(lock).items() if "--hash=sha256:" not in lines] == []


OF_THEIR_OWN = {ROOT / "locks" / f"{name}.lock" for name in ("fuzz", "peers", "security")}
"""For environments that hold nothing else."""


def test_the_locks_agree_so_that_one_environment_can_hold_all_of_them() -> None:
    versions: dict[str, set[str]] = {}
    for lock in set(ROOT.glob("locks/*.lock")) - OF_THEIR_OWN:
        for name, lines in pins(lock).items():
            versions.setdefault(name, set()).add(lines.split()[0])
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_the_node_lock_has_a_hash_and_no_address_for_every_package() -> None:
    packages = json.loads((ROOT / "tests" / "node" / "package-lock.json").read_text())["packages"]
    for name, package in packages.items():
        assert "resolved" not in package, name
        assert not name or package["integrity"].startswith("sha512-"), name


def test_the_image_runs_unprivileged_and_checks_its_own_health() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    final = lines[max(i for i, line in enumerate(lines) if line.startswith("FROM ")) :]
    assert [line for line in final if line.startswith("USER ")] == ["USER 10001:10001"]
    assert any(line.startswith("HEALTHCHECK ") for line in final)
    assert any("--require-hashes -r locks/run.lock" in line for line in lines)
