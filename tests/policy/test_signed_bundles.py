"""OPA's bundles, both ways: what the real `opa` builds and signs loads here, what we build it accepts; and hostile ones."""

import gzip
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt import PyJWS
from typer.testing import CliRunner

from gateway.adapters.policy.archive import MAX_BYTES, read_archive, write_archive
from gateway.adapters.policy.bundle import PolicyBundle, default_policies, load_bundle
from gateway.adapters.policy.embedded import start_checked
from gateway.adapters.policy.signature import load_verification_key, sign_files
from gateway.cli.policy import app
from gateway.core.errors import ConfigError
from tests.policy.conftest import OpaServer
from tests.policy.hostile import nested_names
from tests.running import free_port

pytestmark = pytest.mark.anyio

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

POLICY = b'package sealgate.authz\n\ndecision := {"effect": "deny", "reasons": [], "obligations": {}}\n'
FILES = {"data.json": b"{}", "authz.rego": POLICY, ".manifest": b'{"revision": "r1", "roots": [""]}'}
# What JSON texts can look like that OPA hashes by their meaning: numbers as written, escapes, order, white space.
ODD_DATA = (
    '{"z": [1.0, 1e3, -0, 12.50, true, null],'
    ' "a": "\\u2028 \\u00e9 \\/ \\b\\f\\n\\t \\u0001 <&> \x7f", "\\ud83d\\ude00": {},'
    ' "é": "ü", "b": {"y": 1, "x": 2}}'
)


@dataclass(frozen=True)
class Keys:
    """A key pair in two PEM files."""

    private: Path
    public: Path


@pytest.fixture
def make_keys(tmp_path: Path) -> Callable[[PrivateKey, str], Keys]:
    def make(key: PrivateKey, name: str = "signer") -> Keys:
        keys = Keys(tmp_path / f"{name}.pem", tmp_path / f"{name}.pub")
        keys.private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        keys.public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        return keys

    return make


@pytest.fixture
def keys(make_keys: Callable[[PrivateKey, str], Keys]) -> Keys:
    return make_keys(ec.generate_private_key(ec.SECP256R1()), "signer")


def write(path: Path, files: Mapping[str, bytes]) -> Path:
    path.write_bytes(write_archive(files))
    return path


def signed(tmp_path: Path, keys: Keys, files: Mapping[str, bytes] = FILES) -> dict[str, bytes]:
    return {**files, ".signatures.json": sign_files(files, keys.private)}


def load_signed(path: Path, keys: Keys) -> PolicyBundle:
    return load_bundle(path, load_verification_key(keys.public))


def opa(binary: str, *arguments: str | Path, cwd: Path) -> None:
    done = subprocess.run([binary, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


# --- OPA and we ---


@pytest.mark.opa
@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (ec.generate_private_key(ec.SECP256R1()), "ES256"),
        (ec.generate_private_key(ec.SECP384R1()), "ES384"),
        (rsa.generate_private_key(65537, 2048), "RS256"),
    ],
    ids=["P-256", "P-384", "RSA"],
)
async def test_a_bundle_that_opa_builds_and_signs_is_loaded_and_decides(
    opa_binary: str, tmp_path: Path, make_keys: Callable[[PrivateKey, str], Keys], key: PrivateKey, algorithm: str
) -> None:
    keys = make_keys(key, "signer")
    shutil.copytree(default_policies(), tmp_path / "policies")
    (tmp_path / "policies" / "odd").mkdir()
    (tmp_path / "policies" / "odd" / "data.json").write_text(ODD_DATA)
    arguments = ("--signing-key", keys.private, "--signing-alg", algorithm, "--revision", "r7", "--output", "b.tar.gz")
    opa(opa_binary, "build", "--bundle", "policies", *arguments, cwd=tmp_path)
    bundle = load_signed(tmp_path / "b.tar.gz", keys)
    assert (bundle.manifest.revision, bundle.signed) == ("r7", True)
    assert bundle.data["sealgate"] == load_bundle(default_policies()).data["sealgate"]
    await (await start_checked(bundle, 5.0)).stop()


@pytest.mark.opa
def test_files_that_opa_signs_as_they_are_have_the_hashes_we_find(opa_binary: str, tmp_path: Path, keys: Keys) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    files = {**FILES, "data.json": ODD_DATA.encode(), ".manifest": b'{ "roots" : [""],\n "metadata": {"n": 1.50} }'}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    opa(opa_binary, "sign", "--bundle", ".", "--signing-key", keys.private, "--signing-alg", "ES256", cwd=folder)
    files[".signatures.json"] = (folder / ".signatures.json").read_bytes()
    assert load_signed(write(tmp_path / "b.tar.gz", files), keys).signed


@pytest.mark.opa
@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()], ids=["ES256", "ES384"])
def test_a_bundle_that_we_build_is_verified_and_served_by_opa(
    opa_binary: str, tmp_path: Path, make_keys: Callable[[PrivateKey, str], Keys], curve: ec.EllipticCurve
) -> None:
    keys = make_keys(ec.generate_private_key(curve), "signer")
    shutil.copytree(default_policies(), tmp_path / "policies")
    (tmp_path / "policies" / "odd").mkdir()
    (tmp_path / "policies" / "odd" / "data.json").write_text(ODD_DATA)
    out = tmp_path / "b.tar.gz"
    arguments = ["build", str(tmp_path / "policies"), "--out", str(out), "--key", str(keys.private), "--revision", "r8"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert done.output.strip() == load_bundle(tmp_path / "policies").revision
    algorithm = load_verification_key(keys.public).algorithm
    server = OpaServer(
        opa_binary, out, free_port(), ("--bundle", "--signing-alg", algorithm, "--verification-key", keys.public)
    )
    server.start()
    try:
        answer = server.post("/v1/data/sealgate/authz/decision?provenance=true", {"input": {}})
    finally:
        server.stop()
    assert answer["result"]["effect"] == "deny"
    assert [bundle["revision"] for bundle in answer["provenance"]["bundles"].values()] == ["r8"]


@pytest.mark.opa
def test_a_bundle_that_we_build_and_someone_changed_is_refused_by_opa(opa_binary: str, tmp_path: Path, keys: Keys) -> None:
    files = {**signed(tmp_path, keys), "authz.rego": POLICY.replace(b"deny", b"allow")}
    arguments = [
        "--bundle",
        "--verification-key",
        keys.public,
        "--signing-alg",
        "ES256",
        write(tmp_path / "b.tar.gz", files),
    ]
    done = subprocess.run(
        [opa_binary, "run", "--server", "--addr", f"127.0.0.1:{free_port()}", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "digest mismatch" in done.stderr + done.stdout


# --- signatures ---


def test_what_we_build_is_loaded_and_has_the_folders_revision(tmp_path: Path, keys: Keys) -> None:
    folder = load_bundle(default_policies())
    out = tmp_path / "b.tar.gz"
    done = CliRunner().invoke(app, ["build", "--out", str(out), "--key", str(keys.private), "--revision", "today"])
    assert done.exit_code == 0, done.output
    bundle = load_signed(out, keys)
    assert (bundle.revision, bundle.manifest.revision, bundle.tests) == (folder.revision, "today", {})
    assert CliRunner().invoke(app, ["check", str(out), "--verification-key", str(keys.public)]).exit_code == 0
    first = out.read_bytes()
    CliRunner().invoke(app, ["build", "--out", str(out), "--revision", "today"])
    unsigned = out.read_bytes()
    CliRunner().invoke(app, ["build", "--out", str(out), "--revision", "today"])
    assert out.read_bytes() == unsigned != first


def test_policies_that_cannot_decide_are_not_built(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "authz.rego").write_text("package sealgate.authz\n\ndecision := 1\n")
    done = CliRunner().invoke(app, ["build", str(tmp_path / "policies"), "--out", str(tmp_path / "b.tar.gz")])
    assert isinstance(done.exception, ConfigError)
    assert not (tmp_path / "b.tar.gz").exists()


def _without_signature(files: dict[str, bytes]) -> None:
    del files[".signatures.json"]


def _changed(files: dict[str, bytes]) -> None:
    files["authz.rego"] += b"\n"


def _changed_data(files: dict[str, bytes]) -> None:
    files["data.json"] = b'{"a": 1}'


def _changed_manifest(files: dict[str, bytes]) -> None:
    files[".manifest"] = b'{"revision": "r2", "roots": [""]}'


def _extended(files: dict[str, bytes]) -> None:
    files["more.rego"] = POLICY


def _shortened(files: dict[str, bytes]) -> None:
    files["other.rego"] = files.pop("authz.rego")


def _unsecured(files: dict[str, bytes]) -> None:
    (token,) = json.loads(files[".signatures.json"])["signatures"]
    _, payload, _ = token.split(".")
    files[".signatures.json"] = json.dumps({"signatures": [f"eyJhbGciOiJub25lIn0.{payload}."]}).encode()


def _two_tokens(files: dict[str, bytes]) -> None:
    tokens = json.loads(files[".signatures.json"])["signatures"]
    files[".signatures.json"] = json.dumps({"signatures": tokens * 2}).encode()


def _no_token(files: dict[str, bytes]) -> None:
    files[".signatures.json"] = b'{"signatures": []}'


def _a_plugin(files: dict[str, bytes]) -> None:
    files[".signatures.json"] = json.dumps({**json.loads(files[".signatures.json"]), "plugin": "mine"}).encode()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without_signature, "is not signed"),
        (_changed, r"authz\.rego is not what was signed"),
        (_changed_data, r"data\.json is not what was signed"),
        (_changed_manifest, r"\.manifest is not what was signed"),
        (_extended, r"more\.rego was added"),
        (_shortened, r"other\.rego was added|authz\.rego is missing"),
        (_unsecured, "the signature does not hold"),
        (_two_tokens, "there must be one JWT"),
        (_no_token, "there must be one JWT"),
        (_a_plugin, "plugin"),
    ],
)
def test_a_bundle_that_is_not_what_was_signed_is_refused(
    tmp_path: Path, keys: Keys, change: Callable[[dict[str, bytes]], None], said: str
) -> None:
    files = signed(tmp_path, keys)
    assert load_signed(write(tmp_path / "good.tar.gz", files), keys).signed
    change(files)
    with pytest.raises(ConfigError, match=said):
        load_signed(write(tmp_path / "b.tar.gz", files), keys)


def test_a_file_that_the_signature_lists_and_the_bundle_lacks_is_missed(tmp_path: Path, keys: Keys) -> None:
    files = signed(tmp_path, keys, {**FILES, "deny.rego": POLICY})
    del files["deny.rego"]
    with pytest.raises(ConfigError, match=r"deny\.rego is missing"):
        load_signed(write(tmp_path / "b.tar.gz", files), keys)


def test_a_signature_by_another_key_is_refused(
    tmp_path: Path, keys: Keys, make_keys: Callable[[PrivateKey, str], Keys]
) -> None:
    other = make_keys(ec.generate_private_key(ec.SECP256R1()), "other")
    path = write(tmp_path / "b.tar.gz", signed(tmp_path, other))
    assert load_signed(path, other).signed
    with pytest.raises(ConfigError, match="does not hold"):
        load_signed(path, keys)


def test_the_public_key_is_no_secret_to_sign_with(tmp_path: Path, keys: Keys) -> None:
    """HMAC under the public key's bytes: what a verifier falls for that believes the JWT about its algorithm."""
    key = PyJWS(algorithms=["HS256"])
    payload = json.dumps({"files": []}).encode()
    header, body = (part for part in key.encode(payload, b"k" * 32, "HS256").split(".")[:2])
    files = {**FILES, ".signatures.json": json.dumps({"signatures": [f"{header}.{body}.AAAA"]}).encode()}
    with pytest.raises(ConfigError, match="does not hold"):
        load_signed(write(tmp_path / "b.tar.gz", files), keys)


def test_a_weak_hash_in_the_signature_is_refused(tmp_path: Path, keys: Keys) -> None:
    key = PyJWS()
    listed = [{"name": name, "hash": "0" * 32, "algorithm": "MD5"} for name in FILES]
    token = key.encode(json.dumps({"files": listed}).encode(), keys.private.read_text(), "ES256")
    files = {**FILES, ".signatures.json": json.dumps({"signatures": [token]}).encode()}
    with pytest.raises(ConfigError, match="not accepted"):
        load_signed(write(tmp_path / "b.tar.gz", files), keys)


def test_a_folder_is_no_signed_bundle(keys: Keys) -> None:
    with pytest.raises(ConfigError, match="wants a signed bundle"):
        load_signed(default_policies(), keys)


def test_keys_that_opa_would_not_take_are_refused(tmp_path: Path, make_keys: Callable[[PrivateKey, str], Keys]) -> None:
    for key, said in (
        (ed25519.Ed25519PrivateKey.generate(), "ECDSA"),
        (ec.generate_private_key(ec.SECP256K1()), "ECDSA"),
        (rsa.generate_private_key(65537, 1024), "too weak"),  # noqa: S505 - that is the point
    ):
        keys = make_keys(key, "odd")
        with pytest.raises(ConfigError, match=said):
            load_verification_key(keys.public)
        with pytest.raises(ConfigError, match=said):
            sign_files(FILES, keys.private)


# --- hostile archives ---


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "name", ["../authz.rego", "/../a.rego", "a/../../b.rego", "a//b.rego", "a/./b.rego", "a\\b.rego", "a\nb.rego"]
)
def test_names_that_leave_the_bundle_or_hide_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="leaves the bundle or is not plain"):
        read_archive(tar_of((member(name), POLICY)), tmp_path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE])
def test_whatever_is_no_plain_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    with pytest.raises(ConfigError, match="is no plain file"):
        read_archive(tar_of((member("authz.rego", kind, "/etc/passwd"), b"")), tmp_path)


def test_a_name_that_comes_twice_is_refused_however_it_is_written(tmp_path: Path) -> None:
    for second in ("authz.rego", "/authz.rego", "./authz.rego"):
        with pytest.raises(ConfigError, match="is there twice"):
            read_archive(tar_of((member("authz.rego"), POLICY), (member(second), POLICY)), tmp_path)


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(MAX_BYTES + 1))
    assert len(bomb) < 1 << 20
    with pytest.raises(ConfigError, match="larger than 8 MiB unpacked"):
        read_archive(bomb, tmp_path)


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="more than 10000 files"):
        read_archive(tar_of(*((member(f"{index}.rego"), b"") for index in range(10_001))), tmp_path)


@pytest.mark.parametrize("cut", [10, 100, -20])
def test_a_cut_archive_is_refused(tmp_path: Path, cut: int) -> None:
    with pytest.raises(ConfigError, match=r"is no gzipped archive|is no sound tar"):
        read_archive(write_archive(FILES)[:cut], tmp_path)


def test_a_damaged_header_does_not_hide_the_files_behind_it(tmp_path: Path) -> None:
    whole = gzip.decompress(write_archive(FILES))
    second = whole.index(b"/authz.rego")
    damaged = whole[:second] + b"\xff" + whole[second + 1 :]
    with pytest.raises(ConfigError, match=r"after its last readable file|no sound tar"):
        read_archive(gzip.compress(damaged), tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("policy.wasm", b"", "a bundle holds"),
        ("data.yaml", b"a: 1", "a bundle holds"),
        ("patch.json", b"{}", "a bundle holds"),
        ("a/.manifest", b"{}", "a bundle holds"),
        (".manifest", b'{"rego_version": 0}', "only Rego v1"),
        (".manifest", b'{"file_rego_versions": {"a": 0}}', "only Rego v1"),
        (".manifest", b'{"wasm": []}', "'wasm' is not known"),
        (".manifest", b'{"roots": ["a", "a/b"]}', "roots overlap"),
        (".manifest", b'{"revision": "a\\u001b[2J"}', "one line"),
        (".manifest", b"[]", "no object"),
        (".manifest", b'{"roots": 1, "roots": 2}', "not acceptable"),
        ("data.json", b"[]", "must hold one JSON object"),
        ("bad.rego", b"\xff", r"bad\.rego:1: is not UTF-8"),
    ],
)
def test_what_we_could_not_follow_is_refused(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_bundle(write(tmp_path / "b.tar.gz", {**FILES, name: content}))


async def test_a_bundle_fills_only_its_roots(tmp_path: Path) -> None:
    narrow = {**FILES, ".manifest": b'{"roots": ["sealgate/authz"]}'}
    await (await start_checked(load_bundle(write(tmp_path / "good.tar.gz", narrow)), 5.0)).stop()
    with pytest.raises(ConfigError, match="do not permit data at other"):
        load_bundle(write(tmp_path / "data.tar.gz", {**narrow, "data.json": b'{"other": 1}'}))
    other = load_bundle(write(tmp_path / "module.tar.gz", {**narrow, "other.rego": b"package other\n"}))
    with pytest.raises(ConfigError, match=r"roots do not permit data\.other"):
        await start_checked(other, 5.0)


# --- what is made to break its reader ---


def test_names_that_nest_are_refused(tmp_path: Path, keys: Keys) -> None:
    path = tmp_path / "b.tar.gz"
    path.write_bytes(nested_names())
    with pytest.raises(ConfigError, match="no sound tar archive"):
        load_signed(path, keys)


@pytest.mark.parametrize("name", ["data.json", ".manifest", ".signatures.json", "authz.rego"])
@pytest.mark.parametrize(
    "text", [b'{"a":' * 100_000, b"[" * 100_000, b'{"a":1' + b"0" * 100_000 + b"}"], ids=["object", "list", "number"]
)
def test_what_is_too_deep_or_too_long_is_refused_signed_or_not(tmp_path: Path, keys: Keys, name: str, text: bytes) -> None:
    files = {**FILES, ".signatures.json": signed(tmp_path, keys)[".signatures.json"], name: text}
    with pytest.raises(ConfigError):
        load_signed(write(tmp_path / "b.tar.gz", files), keys)
    with pytest.raises(ConfigError):
        load_bundle(write(tmp_path / "b.tar.gz", {"authz.rego": POLICY, **files, "data.json": text}))


def test_nothing_is_parsed_of_what_the_signature_does_not_list(tmp_path: Path, keys: Keys) -> None:
    files = signed(tmp_path, keys) | {"data.json": b"no JSON", "extra/data.json": b"no JSON"}
    with pytest.raises(ConfigError, match=r"extra/data\.json was added"):
        load_signed(write(tmp_path / "b.tar.gz", files), keys)
