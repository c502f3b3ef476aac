"""The one form of a host, a path, an amount and a recipient, or None where a text has none.

A text that two readers may take for different things has no form: it is refused, never repaired, since the call goes to the
tool as it came. The form only takes away what every reader takes away. So what policy compares, what the guards check and
what the tool is sent mean the same.

| role | form | what is taken away |
|---|---|---|
| host | `name`, `192.0.2.1` or `[2001:db8::1]`, with `:port` where it is not the scheme's own | scheme, path, letter case |
| path | POSIX, absolute or relative | `.` segments, doubled and trailing slashes |
| amount | a number, 0 or more | quotes; the zeros of `12.50` |
| recipient | text in NFKC; where it has an @, one bare address | the letter case of the address's domain |

Sources: RFC 3986, WHATWG URL (hosts that end in a number), RFC 5952, POSIX.1-2017 section 4.13, Unicode UAX 15.
"""

import ipaddress
import re
import unicodedata

MAX_LENGTH = 4096
MAX_HOST = 253
MAX_AMOUNT = 2**53 - 1
MAX_DIGITS = 15
"""Decimal text of so many digits has one nearest binary number, and that number has no other such text."""

DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
NOT_BARE = {*DEFAULT_PORTS, "ftp", "file"}
"""`http:80` is an address without slashes to some readers (WHATWG URL, special schemes)."""

_IGNORABLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]")
"""Characters that show nothing, beside those Python calls not printable (controls, formats, unassigned, separators)."""

_AUTHORITY = re.compile(
    r"(?:(?P<scheme>[A-Za-z]+)://)?"
    r"(?P<host>[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9a-f:]+\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<rest>[/?#].*)?"
)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
_SCHEME_OR_DRIVE = re.compile(r"[A-Za-z]:|file:|[A-Za-z][A-Za-z0-9+.-]*:/", re.IGNORECASE)
_DECIMAL = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_ADDRESS = re.compile(r"(?P<box>[^\s@,;:<>()\[\]\"\\]+)@(?P<domain>[^\s@,;:<>()\[\]\"\\]+)")


def host_form(text: str) -> str | None:
    """The form of a host, with its port where it is not its scheme's own. From an http, https, ws or wss URL, or bare."""
    if len(text) > MAX_LENGTH or not _visible(text) or " " in text or "\\" in text:
        return None
    read = _AUTHORITY.fullmatch(text)
    if read is None:
        return None
    scheme, rest = (read["scheme"] or "").lower(), read["rest"] or ""
    if scheme not in ("", *DEFAULT_PORTS) or (not scheme and rest):
        return None
    if rest[:1] in ("?", "#") and ("@" in rest or not rest.isascii()):
        return None  # old readers end the authority at the first slash only
    host = _plain_host(read["host"].lower())
    port = int(read["port"] or 0)
    if host is None or port > 65535 or (not scheme and port and host in NOT_BARE):
        return None
    return f"{host}:{port}" if port and port != DEFAULT_PORTS.get(scheme) else host


def split_host(form: str) -> tuple[str, int | None]:
    """Host and port of a form that `host_form` made. The host of an IPv6 address stands without its brackets."""
    host, colon, port = form.rpartition(":")
    if not colon or "]" in port:
        host, port = form, ""
    return host.strip("[]"), int(port) if port else None


def _plain_host(host: str) -> str | None:
    """A name or a literal address of which there is no other spelling."""
    if host.startswith("["):
        try:
            address = ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            return None
        return host if address.ipv4_mapped is None and host == f"[{address.compressed}]" else None
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):  # an IPv4 address to some readers, whatever its other labels are
        try:
            return host if str(ipaddress.IPv4Address(host)) == host else None
        except ValueError:
            return None
    return host if len(host) <= MAX_HOST and all(map(_LABEL.fullmatch, labels)) else None


def path_form(text: str) -> str | None:
    """The form of a POSIX path. What lies there, and whether links lead elsewhere, is not this function's to know."""
    if not text or len(text) > MAX_LENGTH or not _visible(text) or text != text.strip():
        return None  # some readers strip what others keep
    if text.startswith("//") or _ENCODED.search(text) or unicodedata.normalize("NFC", text) != text:
        return None  # the last: file systems differ in whether these are one name
    folded = unicodedata.normalize("NFKC", text)  # full-width dots and slashes are plain ones to some readers
    if "\\" in folded or folded.count("/") != text.count("/") or ".." in folded.split("/") or _ENCODED.search(folded):
        return None
    segments = [segment for segment in text.split("/") if segment not in ("", ".")]
    form = "/" * text.startswith("/") + "/".join(segments) or "."
    return None if form != form.strip() or form.startswith("~") or _SCHEME_OR_DRIVE.match(form) else form


def amount_form(value: object) -> int | float | None:
    """The form of an amount: a number, or plain decimal text such as `12.50`. No sign, exponent or separators."""
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value) or not value.isascii() or len(value.replace(".", "").lstrip("0")) > MAX_DIGITS:
            return None
        number: int | float = float(value) if "." in value else int(value)
    elif type(value) is int or type(value) is float:
        number = value
    else:
        return None
    if not 0 <= number <= MAX_AMOUNT:  # false of NaN as well
        return None
    return int(number) if number == int(number) else number


def recipient_form(text: str) -> str | None:
    """The form of a recipient: an address, an account, a name. Lists and display names beside an address have none."""
    if not text or len(text) > MAX_LENGTH or not _visible(text) or text != text.strip():
        return None
    if unicodedata.normalize("NFKC", text) != text:
        return None
    if "@" not in text[1:]:  # one that stands first is a handle: @alice
        return text
    address = _ADDRESS.fullmatch(text)
    return None if address is None else f"{address['box']}@{address['domain'].lower()}"


def _visible(text: str) -> bool:
    return text.isprintable() and _IGNORABLE.search(text) is None
