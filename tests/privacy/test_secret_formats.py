"""Secrets of known formats are found wherever they stand in a text, and other texts are left as they are."""

import base64
import json
import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.secret_formats import FORMATS, MAX_KEY_CHARS, may_hold_secret, plain, without_secrets
from tests.running import REPOSITORY

RANDOM = random.Random(20_251_122)  # fixed: the same secrets every time
WORD = string.ascii_letters + string.digits


def some(count: int, alphabet: str = WORD) -> str:
    return "".join(RANDOM.choices(alphabet, k=count))


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def jwt() -> str:
    parts = [json.dumps({"alg": "ES256", "kid": some(6)}), json.dumps({"sub": some(9), "exp": 1}), some(64)]
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)


def lines(between: str = "\n", last: str = "") -> str:
    """What stands between the two ends of a key."""
    return between.join(some(64, WORD + "+/") for _ in range(4)) + last


def pem(label: str, between: str = "\n", headers: str = "") -> str:
    """The text around these."""
    return f"-----BEGIN {label}-----{between}{headers}{{}}{between}-----END {label}-----"


ENCRYPTED = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,6529711A71112569069E7EA56BE0E851\n\n"


# kind, the secret, the text around it ({} is the secret)
SECRETS = [
    ("private-key", lines(), pem("PRIVATE KEY")),
    ("private-key", lines(last="\n" + some(11) + "="), "key: " + pem("RSA PRIVATE KEY")),
    ("private-key", lines(), pem("OPENSSH PRIVATE KEY")),
    ("private-key", lines("\r\n"), pem("ENCRYPTED PRIVATE KEY", "\r\n")),
    ("private-key", lines(last="\n=" + some(4)), pem("PGP PRIVATE KEY BLOCK", headers="Version: GnuPG v2\n\n")),
    ("private-key", lines(last="\n" + some(6) + "==\n=" + some(4)), pem("PGP PRIVATE KEY BLOCK", headers="\n")),
    ("private-key", lines("\\n"), pem("EC PRIVATE KEY", "\\n")),
    ("private-key", lines("\\r\\n"), pem("PRIVATE KEY", "\\r\\n")),
    ("private-key", lines("\n    "), "key: |\n    " + pem("PRIVATE KEY", "\n    ")),
    ("private-key", lines(), pem("RSA PRIVATE KEY", headers=ENCRYPTED)),
    ("private-key", some(64), pem("PRIVATE KEY", "")),
    ("age-secret-key", "AGE-SECRET-KEY-1" + some(58, string.ascii_uppercase + string.digits), "{}"),
    ("jwt", jwt(), "{}"),
    ("jwt", jwt(), "https://example.org/callback?token={}&x=1"),
    (
        "sealgate-api-key",
        f"sgk_{some(12, '0123456789abcdef')}_{some(52, string.ascii_lowercase + '234567')}_{some(8, '0123456789abcdef')}",
        "SEALGATE_KEY={}",
    ),
    ("aws-access-key", "AKIA" + some(16, string.ascii_uppercase + "234567"), "AWS_ACCESS_KEY_ID={}"),
    ("aws-access-key", "ASIA" + some(16, string.ascii_uppercase + "234567"), "{}"),
    ("aws-secret-key", some(40, WORD + "+/"), "AWS_SECRET_ACCESS_KEY={}"),
    ("aws-secret-key", some(40, WORD + "+/"), '{{"SecretAccessKey": "{}"}}'),
    ("aws-secret-key", some(40, WORD + "+/"), 'aws_secret_access_key = "{}"'),
    ("github-token", "ghp_" + some(36), "git clone with {}"),
    ("github-token", "ghs_" + some(36), "{}"),
    ("github-token", "github_pat_" + some(22) + "_" + some(59), "{}"),
    ("gitlab-token", "glpat-" + some(20, WORD + "_-"), "{}"),
    ("gitlab-token", "glpat-" + some(27, WORD + "_-") + ".01." + some(9, string.ascii_lowercase), "{}"),
    ("gitlab-token", "gldt-" + some(20), "{}"),
    ("slack-token", "xoxb-" + some(12, string.digits) + "-" + some(12, string.digits) + "-" + some(24), "{}"),
    ("slack-token", "xoxp-" + some(11, string.digits) + "-" + some(32), "{}"),
    ("slack-token", "xapp-1-A" + some(10) + "-" + some(13, string.digits) + "-" + some(64), "{}"),
    ("slack-webhook", "services/T" + some(8) + "/B" + some(8) + "/" + some(24), "https://hooks.slack.com/{}"),
    ("stripe-key", "sk_live_" + some(24), "{}"),
    ("stripe-key", "rk_test_" + some(24), "{}"),
    ("stripe-key", "whsec_" + some(32), "{}"),
    ("google-key", "AIza" + some(35, WORD + "_-"), "https://maps.example/?key={}"),
    ("google-key", "ya29." + some(60, WORD + "_-"), "{}"),
    ("google-key", "GOCSPX-" + some(28, WORD), "{}"),
    ("openai-api-key", "sk-" + some(48), "OPENAI_API_KEY={}"),
    ("openai-api-key", "sk-proj-" + some(64, WORD + "_-"), "{}"),
    ("anthropic-api-key", "sk-ant-api03-" + some(93, WORD + "_-") + "AA", "{}"),
    ("npm-token", "npm_" + some(36), "//registry.example/:_authToken={}"),
    ("pypi-token", "pypi-AgEIcHlwaS5vcmc" + some(90, WORD + "_-"), "{}"),
    ("hugging-face-token", "hf_" + some(34), "{}"),
    ("vault-token", "hvs." + some(90), "{}"),
    ("digitalocean-token", "dop_v1_" + some(64, "0123456789abcdef"), "{}"),
    ("azure-storage-key", b64(some(64)), "AccountName=x;AccountKey={};EndpointSuffix=core.windows.net"),
    ("bearer-token", some(40), "curl -H 'Authorization: Bearer {}' https://example.org"),
    ("bearer-token", some(40), "bearer {}"),
    ("basic-credentials", b64("alice:" + some(12)), "Authorization: Basic {}"),
    ("url-password", some(14), "postgres://app:{}@db.example/main"),
    ("url-password", some(14), "redis://:{}@cache.example:6379"),
]

ORDINARY = [
    "The refund of 42.00 EUR for order 1001 was made.",
    "A risk-assessment-of-the-whole-organisation, task-driven and desk-based",
    "xoxo-hugs-and-kisses-to-everybody",
    "basic responsibilities and basic understandings",
    "the bearer certificates-and-other-papers",
    "Bearer tokens are explained in RFC 6750.",
    "https://example.org/path?x=1 and alice@example.org",
    "https://example.org:8443/users/@alice",
    "3fa85f64-5717-4562-b3fc-2c963f66afa6",
    "sha256:" + "0123456789abcdef" * 4,
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----",
    "DROP TABLE scratch; -- -----BEGIN PRIVATE KEY-----\nDROP DATABASE production; GRANT ALL TO mallory;",
    "-----BEGIN PRIVATE KEY-----\nDROP\nDATABASE\nproduction\nCASCADE\n-----END PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\nDROP DATABASE production CASCADE and whatever\n-----END PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\nPay: mallory 1000\n\n-----END PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\n" + "A" * 64 + "\nand nothing that ends it",
    "-----BEGIN PRIVATE KEY-----\n" + "A" * (MAX_KEY_CHARS + 1) + "\n-----END PRIVATE KEY-----",
    "private key and public key, npm_config_registry, sk-learn, AKIA",
    "MY_AKIAB, AKIA1234",
    base64.b64encode(bytes(range(256)) * 40).decode(),
    "",
]


@pytest.mark.parametrize(("kind", "secret", "around"), SECRETS)
def test_a_secret_is_replaced_and_the_text_around_it_stays(kind: str, secret: str, around: str) -> None:
    text = around.format(secret)
    for before, after in (("", ""), ("first line\n", "\nlast line"), ('{"a": "', '"}')):
        redacted, kinds = without_secrets(before + text + after)
        assert redacted == before + around.format(f"[redacted: {kind}]") + after
        assert kinds == (kind,)


def test_every_format_is_among_the_samples_and_names_its_source() -> None:
    assert {form.kind for form in FORMATS} == {kind for kind, _, _ in SECRETS}
    assert all(form.source for form in FORMATS)


def test_several_secrets_in_one_text_are_all_replaced() -> None:
    text = "\n".join(around.format(secret) for kind, secret, around in SECRETS)
    redacted, kinds = without_secrets(text)
    assert {kind for kind, _, _ in SECRETS} == set(kinds)
    assert not [secret for _, secret, _ in SECRETS if secret in redacted]


def test_every_format_stands_in_the_page_about_privacy() -> None:
    page = (REPOSITORY / "docs" / "how-to" / "privacy.md").read_text()
    assert [form.kind for form in FORMATS if f"`{form.kind}`" not in page] == []


@pytest.mark.parametrize("text", ORDINARY)
def test_an_ordinary_text_stays_as_it_is(text: str) -> None:
    assert without_secrets(text) == (text, ())


PIECES = st.sampled_from(
    [marker for form in FORMATS for marker in form.markers]
    + [marker.upper() for form in FORMATS for marker in form.markers]
    + [secret for _, secret, _ in SECRETS]
    + ["Bearer ", "Basic ", "://", ":", "@", "-", ".", " ", "\n", '"', "a1" * 10]
)


@given(st.lists(st.one_of(PIECES, st.text(max_size=4)), max_size=8).map("".join))
def test_the_search_for_markers_overlooks_nothing(text: str) -> None:
    expected = text
    for form in FORMATS:
        expected = form.replaced(expected)
    assert plain(text) == expected
    assert expected == text or may_hold_secret(text.encode())
