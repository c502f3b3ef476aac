"""Secrets that can be told by their form: a fixed prefix, or a fixed place such as `Authorization: Basic`.

Found ones are replaced by `[redacted: <kind>]` in whatever is stored (docs/decisions/0014). A list misses things: what it
misses is still encrypted where it is an argument or a result.

Linear time: a text is searched for a format's markers first, and a pattern runs only where one of them is. A pattern's
matches have a bounded length, or it consumes the run of characters that it has looked at, or it begins at a run's first.

The forms are the vendors' own, named beside each; they were compared with the rules of gitleaks, which are tested on real
finds (https://github.com/gitleaks/gitleaks, cmd/generate/config/rules).
"""

import re
from base64 import b64decode
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Check = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class SecretFormat:
    """One form of secret.

    Attributes:
        kind: what stands in the replacement
        markers: lower-case texts; every match holds one of them, in any case
        pattern: the secret; where it has a group `secret`, only that is replaced
        source: who defines the form
        check: looks at the secret more closely than a pattern can
    """

    kind: str
    markers: tuple[str, ...]
    pattern: re.Pattern[str]
    source: str
    check: Check | None = None

    def replaced(self, text: str) -> str:
        """`text` with this format's secrets replaced."""
        return self.pattern.sub(self._replacement, text)

    def _replacement(self, match: re.Match[str]) -> str:
        whole = match[0]
        secret = match["secret"] if "secret" in self.pattern.groupindex else whole
        if self.check is not None and not self.check(secret):
            return whole
        start = match.start("secret") - match.start() if secret is not whole else 0
        return whole[:start] + redacted(self.kind) + whole[start + len(secret) :]


REDACTED = "[redacted: "
"""What every replacement begins with."""


def redacted(kind: str) -> str:
    """What stands for a secret of this kind."""
    return f"{REDACTED}{kind}]"


def _is_random(token: str) -> bool:
    """Not a word: it has a digit, or a capital letter after the first."""
    return any(char.isdigit() for char in token) or any(char.isupper() for char in token[1:])


def _is_basic(token: str) -> bool:
    """Base64 of a printable `user:password` (RFC 7617)."""
    bare = token.rstrip("=")
    try:
        text = b64decode(bare + "=" * (-len(bare) % 4), validate=True).decode()
    except ValueError:
        return False
    return ":" in text and text.isprintable()


MAX_KEY_CHARS = 32 * 1024
_BASE64 = "[A-Za-z0-9+/]"
_LABEL = r"(?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?"
_LINE_END = r"[ \t]{0,8}(?:\r?\n|(?:\\r)?\\n)[ \t]{0,32}"  # or as JSON spells it, within a text
_HEADER = r"[A-Za-z][A-Za-z-]{0,30}: [ -\[\]-~]{0,100}"  # stays: it is for people, and no secret


def _is_key(lines: str) -> bool:
    """Of the length of a key: more than that is no key, and would hide other text."""
    return 32 <= len(lines) <= MAX_KEY_CHARS


def _format(kind: str, source: str, markers: str, pattern: str, check: Check | None = None) -> SecretFormat:
    return SecretFormat(kind, tuple(markers.split("|")), re.compile(pattern, re.ASCII), source, check)


# The order counts: a format comes before those that would take its secrets for theirs.
FORMATS = (
    _format(
        "private-key",
        "RFC 7468; RFC 1421 section 4.6 (headers); RFC 9580 section 6.2",
        "private key",
        rf"-----BEGIN {_LABEL}-----(?:{_LINE_END}(?:{_HEADER}{_LINE_END}){{0,6}}(?:{_LINE_END})?)?+"
        rf"(?P<secret>(?:{_BASE64}{{32,}}+{_LINE_END}(?={_BASE64}))*+{_BASE64}*+={{0,2}}(?:{_LINE_END}={_BASE64}{{4}})?)"
        rf"(?:{_LINE_END})?-----END {_LABEL}-----",
        _is_key,
    ),
    _format(
        "age-secret-key",
        "https://age-encryption.org/v1, section on native X25519 identities",
        "age-secret-key-1",
        r"(?i:AGE-SECRET-KEY-1[0-9A-Z]{58})",
    ),
    _format(
        "jwt",
        "RFC 7519; RFC 7515 and 7516 section 7.1: base64url segments, the first a JSON object",
        "eyj",
        r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]*+){2,4}",
    ),
    _format(
        "sealgate-api-key",
        "core/api_key.py",
        "sgk_",
        r"(?<![A-Za-z0-9_])sgk_[0-9a-f]{12}_[a-z2-7]{52}_[0-9a-f]{8}",
    ),
    _format(
        "aws-access-key",
        "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids",
        "akia|asia|abia|acca",
        r"(?<![A-Za-z0-9/+])(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9/+])",
    ),
    _format(
        "aws-secret-key",
        "https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-envvars.html (AWS_SECRET_ACCESS_KEY)",
        "secretaccesskey|secret_access_key",
        r"(?i:secret_?access_?key)[\"'\\]{0,4}\s{0,4}[:=]\s{0,4}[\"'\\]{0,4}(?P<secret>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])",
    ),
    _format(
        "github-token",
        "https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github",
        "ghp_|gho_|ghu_|ghs_|ghr_|github_pat_",
        r"(?:gh[pousr]_[A-Za-z0-9]{36,}+|github_pat_[A-Za-z0-9_]{36,}+)",
    ),
    _format(
        "gitlab-token",
        "https://docs.gitlab.com/security/tokens/#token-prefixes",
        "glpat-|gldt-|glrt-|glrtr-|glcbt-|glptt-|glft-|glimt-|glagent-|gloas-|glsoat-|glwt-|glffct-",
        r"gl(?:pat|dt|rtr?|cbt|ptt|ft|imt|agent|oas|soat|wt|ffct)-[A-Za-z0-9_-]{20,}+(?:\.[A-Za-z0-9]{2,32}){0,3}",
    ),
    _format(
        "slack-token",
        "https://api.slack.com/concepts/token-types",
        "xox|xapp-",
        r"(?:xox[abeoprs](?:\.xox[bp])?|xapp)-(?=[A-Za-z-]{0,64}[0-9])[A-Za-z0-9-]{10,}+",
    ),
    _format(
        "slack-webhook",
        "https://api.slack.com/messaging/webhooks",
        "hooks.slack.com/",
        r"(?i:hooks\.slack\.com)/(?P<secret>(?:services|workflows|triggers)/[A-Za-z0-9/_-]{20,}+)",
    ),
    _format(
        "stripe-key",
        "https://docs.stripe.com/keys; https://docs.stripe.com/webhooks (whsec_)",
        "k_live_|k_test_|whsec_",
        r"(?:[sr]k_(?:org_)?(?:live|test)_[A-Za-z0-9]{10,}+|whsec_[A-Za-z0-9+/]{24,}+)",
    ),
    _format(
        "google-key",
        "https://cloud.google.com/docs/authentication/api-keys; OAuth 2.0 access, refresh and client secrets of Google",
        "aiza|ya29.|gocspx-|1//0",
        r"(?<![A-Za-z0-9/+])(?:AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])|ya29\.[A-Za-z0-9._-]{20,}+|GOCSPX-[A-Za-z0-9_-]{20,}+"
        r"|1//0[A-Za-z0-9_-]{40,}+)",
    ),
    _format(
        "anthropic-api-key",
        "https://docs.anthropic.com/en/api/overview (sk-ant-)",
        "sk-ant-",
        r"sk-ant-[A-Za-z0-9_-]{20,}+",
    ),
    _format(
        "openai-api-key",
        "https://platform.openai.com/docs/api-reference/authentication (sk-, sk-proj-, sk-svcacct-, sk-admin-)",
        "sk-",
        r"(?<![A-Za-z0-9])sk-(?:(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,}+|[A-Za-z0-9]{32,}+)",
    ),
    _format(
        "npm-token",
        "https://docs.npmjs.com/about-access-tokens; https://github.blog/changelog/2021-09-23-npm-has-a-new-access-token-format/",
        "npm_",
        r"npm_[A-Za-z0-9]{36,}+",
    ),
    _format(
        "pypi-token",
        "https://pypi.org/help/#apitoken: a macaroon, base64url",
        "pypi-age",
        r"pypi-AgE[A-Za-z0-9_-]{40,}+",
    ),
    _format(
        "hugging-face-token",
        "https://huggingface.co/docs/hub/security-tokens",
        "hf_",
        r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{30,}+",
    ),
    _format(
        "vault-token",
        "https://developer.hashicorp.com/vault/docs/concepts/tokens#token-prefixes",
        "hvs.|hvb.|hvr.",
        r"(?<![A-Za-z0-9])hv[sbr]\.[A-Za-z0-9_-]{24,}+",
    ),
    _format(
        "digitalocean-token",
        "https://docs.digitalocean.com/reference/api/create-personal-access-token/",
        "dop_v1_|doo_v1_|dor_v1_",
        r"do[opr]_v1_[a-f0-9]{64}",
    ),
    _format(
        "azure-storage-key",
        "https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string",
        "accountkey=",
        r"(?i:AccountKey)=(?P<secret>[A-Za-z0-9+/]{40,}+={0,2})",
    ),
    _format(
        "bearer-token",
        "RFC 6750 section 2.1",
        "bearer ",
        r"(?i:\bbearer)\s{1,4}(?P<secret>[A-Za-z0-9._~+/-]{16,}+=*+)",
        _is_random,
    ),
    _format(
        "basic-credentials",
        "RFC 7617 section 2",
        "basic ",
        r"(?i:\bbasic)\s{1,4}(?P<secret>[A-Za-z0-9+/]{8,}+={0,2})",
        _is_basic,
    ),
    _format(
        "url-password",
        "RFC 3986 section 3.2.1: user:password@ of an authority",
        "://",
        r"://[^\s/?#:@\"'\\<>]{0,128}:(?P<secret>[^\s/?#@\"'\\<>]{1,128})@",
    ),
)


def _trie(words: Iterable[str]) -> str:
    """A pattern for any of `words`, each letter looked at once: three times as fast as one alternative for each word."""
    tails: dict[str, list[str]] = {}
    for word in words:
        if not word:
            return ""  # a shorter word ends here: what follows need not match
        tails.setdefault(word[0], []).append(word[1:])
    return "(?:" + "|".join(re.escape(first) + _trie(rest) for first, rest in tails.items()) + ")"


# `://` alone is in every link, so it counts only beside an `@`.
_MARKER = re.compile(_trie(marker for form in FORMATS for marker in form.markers if marker != "://").encode())


def may_hold_secret(data: bytes) -> bool:
    """Whether the text in `data` (UTF-8, or JSON) holds a marker: without one there is no secret of these formats in it."""
    lowered = data.lower()
    return _MARKER.search(lowered) is not None or (b"@" in lowered and b"://" in lowered)


def without_secrets(text: str) -> tuple[str, tuple[str, ...]]:
    """`text` with secrets replaced, and their kinds."""
    if not may_hold_secret(text.encode(errors="surrogatepass")):
        return text, ()
    lowered, kinds = text.lower(), []
    for form in FORMATS:
        if any(marker in lowered for marker in form.markers):
            replaced = form.replaced(text)
            if replaced != text:
                kinds.append(form.kind)
                text = replaced
    return text, tuple(kinds)


def plain(text: str) -> str:
    """`text` with secrets replaced: for what enters the log in clear."""
    return without_secrets(text)[0]
