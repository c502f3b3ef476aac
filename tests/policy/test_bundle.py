"""A policies folder becomes one value, or an error that says which file and where."""

from pathlib import Path

import pytest

from gateway.adapters.policy.bundle import default_policies, load_bundle
from gateway.core.errors import ConfigError

POLICY = "package sealgate.authz\n\ndecision := {}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "authz.rego").write_text(POLICY)
    return tmp_path


def test_the_packaged_policies_are_a_bundle() -> None:
    bundle = load_bundle(default_policies())
    assert "authz.rego" in bundle.modules
    assert "authz_test.rego" in bundle.tests
    assert not bundle.modules.keys() & bundle.tests.keys()
    assert bundle.data["sealgate"]["settings"]["egress_allow"] == []


def test_the_revision_names_modules_and_data(folder: Path) -> None:
    first = load_bundle(folder).revision
    assert first.startswith("sha256:")
    assert load_bundle(folder).revision == first
    (folder / "data.json").write_text('{"sealgate": {"settings": {}}}')
    second = load_bundle(folder).revision
    (folder / "authz.rego").write_text(POLICY + "\n")
    assert len({first, second, load_bundle(folder).revision}) == 3


def test_tests_do_not_change_the_revision(folder: Path) -> None:
    before = load_bundle(folder).revision
    (folder / "authz_test.rego").write_text("package sealgate.authz_test\n")
    bundle = load_bundle(folder)
    assert (bundle.revision, list(bundle.tests), list(bundle.modules)) == (before, ["authz_test.rego"], ["authz.rego"])


def test_data_is_mounted_at_the_path_of_its_folder(folder: Path) -> None:
    (folder / "data.json").write_text('{"sealgate": {"settings": {"a": 1}}}')
    (folder / "sealgate" / "settings").mkdir(parents=True)
    (folder / "sealgate" / "settings" / "data.json").write_text('{"b": 2}')
    assert load_bundle(folder).data == {"sealgate": {"settings": {"a": 1, "b": 2}}}


def test_modules_in_folders_are_read(folder: Path) -> None:
    (folder / "tiers").mkdir()
    (folder / "tiers" / "network.rego").write_text("package sealgate.tiers.network\n")
    assert set(load_bundle(folder).modules) == {"authz.rego", "tiers/network.rego"}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("data.json", b'{"a": 1,\n "a": 2}', "data.json: not acceptable JSON"),
        ("data.json", b'{"a": 1,\n b}', "line 2"),
        ("data.json", b"[]", "must hold one JSON object"),
        ("data.json", b'{"a": 12345678901234567890}', "no canonical form"),
        ("data.yaml", b"a: 1", "only data.json holds policy data"),
        ("other.json", b"{}", "only data.json holds policy data"),
        ("bad.rego", b"package a\n\xff", "bad.rego:2: is not UTF-8"),
    ],
)
def test_a_wrong_file_is_named(folder: Path, name: str, content: bytes, said: str) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(ConfigError, match=said) as raised:
        load_bundle(folder)
    assert raised.value.hint
    assert raised.value.exit_code == 2


def test_data_given_twice_is_refused(folder: Path) -> None:
    (folder / "data.json").write_text('{"sealgate": {"a": 1}}')
    (folder / "sealgate").mkdir()
    (folder / "sealgate" / "data.json").write_text('{"a": 2}')
    with pytest.raises(ConfigError, match=r"sealgate\.a is given twice"):
        load_bundle(folder)


def test_a_folder_without_policies_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no \*\.rego"):
        load_bundle(tmp_path)
    with pytest.raises(ConfigError, match="no such folder"):
        load_bundle(tmp_path / "missing")
