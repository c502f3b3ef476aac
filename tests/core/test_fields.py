"""Declared fields are read in one form, which every other reader agrees with; what has no such form is refused."""

import ipaddress
import posixpath
import string
import unicodedata
from urllib.parse import urlsplit

import httpx2
import pytest
import yarl
from hypothesis import assume, example, given
from hypothesis import strategies as st

from gateway.core.fields import BadField, FieldRole, read_fields
from gateway.core.normal_forms import amount_form, host_form, path_form, recipient_form, split_host

# -- hosts


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("api.example.com", "api.example.com"),
        ("API.Example.COM", "api.example.com"),
        ("api.example.com:8443", "api.example.com:8443"),
        ("https://api.example.com/v1?q=1#top", "api.example.com"),
        ("HTTPS://api.example.com:443/", "api.example.com"),
        ("http://api.example.com:443/", "api.example.com:443"),
        ("https://api.example.com/@user:x", "api.example.com"),
        ("wss://stream.example.com", "stream.example.com"),
        ("db:5432", "db:5432"),
        ("localhost", "localhost"),
        ("my_service.internal", "my_service.internal"),
        ("xn--mller-kva.example", "xn--mller-kva.example"),
        ("192.0.2.7", "192.0.2.7"),
        ("http://192.0.2.7:80", "192.0.2.7"),
        ("[2001:db8::1]", "[2001:db8::1]"),
        ("https://[2001:db8::1]:8443/x", "[2001:db8::1]:8443"),
    ],
)
def test_a_host_has_one_form(text: str, form: str) -> None:
    assert host_form(text) == form


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "2130706433",  # 127.0.0.1 as one number
        "http://2130706433/",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.1",
        "127.0.1",
        "127.0.0.01",
        "127.0.0.1.",
        "1.2.3.4.5",
        "256.0.0.1",
        "foo.0x4",
        "foo.123",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:0:0:1]",
        "[::01]",
        "[2001:DB8::1]",
        "[fe80::1%25eth0]",
        "[fe80::1%eth0]",
        "::1",
        "[::1",
        "[127.0.0.1]",
        "http://user@example.com/",
        "http://user:secret@example.com/",
        "http://example.com@evil.example/",
        "http://example.com#@evil.example/",
        "http://example.com?@evil.example/",
        "http://example.com\\@evil.example/",
        "http:\\\\example.com",
        "http:/example.com",
        "http:example.com",
        "http:80",
        "//example.com/x",
        "example.com/x",
        "file:///etc/passwd",
        "gopher://example.com/",
        "javascript://example.com/",
        "example.com.",
        "example..com",
        ".example.com",
        "-a.example",
        "a" * 64 + ".example",
        ".".join(["a" * 50] * 6),
        "example.com:0",
        "example.com:080",
        "example.com:65536",
        "example.com:",
        "http://example.com:/",
        "http://example.com:80:80/",
        "http://%65xample.com/",
        "example%2ecom",
        "exa mple.com",
        " example.com",
        "example.com\t",
        "exam\nple.com",
        "http://example.com/\r\nHost: evil",
        "example.com\x00",
        "exämple.com",
        "１２７.0.0.1",  # full-width digits
        "127。0。0。1",  # ideographic full stops
        "ｅxample.com",
        "exam\u200bple.com",
        "exam\u00adple.com",
        "ⓔxample.com",
        "*.example.com",
    ],
)
def test_a_host_that_readers_take_differently_is_refused(text: str) -> None:
    assert host_form(text) is None


HOSTS = st.one_of(
    st.from_regex(r"(https?://)?[a-zA-Z0-9._~%@:\[\]\\/?#-]{1,40}", fullmatch=True),
    st.from_regex(r"(HTTPS?|https?|wss?)://[a-z0-9.-]{1,20}(:[0-9]{1,6})?([/?#].{0,10})?", fullmatch=True),
    st.from_regex(r"https?://(0x)?[0-9a-f]{1,3}(\.(0x)?[0-9a-f]{1,4}){0,4}(:[0-9]{2,4})?/?", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"https://[{address}]:8443/x"),
    st.text(max_size=30),
    st.tuples(st.text(max_size=5), st.sampled_from(["example.com", "127.0.0.1", "[::1]"]), st.text(max_size=5)).map("".join),
)


@given(HOSTS)
@example("https://[2001:db8::1]:8443/x")
@example("http://0xa.1/")
def test_every_reader_of_addresses_reads_an_accepted_host_alike(text: str) -> None:
    form = host_form(text)
    assume(form is not None)
    assert form is not None
    host, port = split_host(form)
    written = text if "://" in text else f"https://{text}"
    default = {"http": 80, "https": 443, "ws": 80, "wss": 443}[urlsplit(written).scheme]
    bare = "://" not in text
    expected_port = port if port is not None else default

    by_stdlib, by_httpx, by_yarl = urlsplit(written), httpx2.URL(written), yarl.URL(written)
    assert by_stdlib.hostname == host
    assert by_httpx.raw_host.decode().strip("[]") == host
    assert by_yarl.raw_host == host
    assert (by_stdlib.port or default) == expected_port
    assert (by_httpx.port or default) == expected_port
    assert by_yarl.port == expected_port
    assert not by_stdlib.username
    assert not by_httpx.userinfo
    assert by_yarl.raw_user is None
    assert bare or host_form(form) in (form, None), "the form of a form is itself"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return
    assert address.compressed == host


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_accepted_in_its_dotted_quad_only(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    octets = str(address).split(".")
    assert host_form(str(address)) == str(address)
    others = [str(number), hex(number), oct(number).replace("0o", "0"), ".".join(hex(int(octet)) for octet in octets)]
    others += [f"{octets[0]}.{number & 0xFFFFFF}", f"[::ffff:{address}]", f"{address}.", ".".join(f"0{o}" for o in octets)]
    for other in others:
        assert host_form(other) is None, other
        assert host_form(f"http://{other}/") is None, other


# -- paths


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("/srv/notes/a.txt", "/srv/notes/a.txt"),
        ("notes/a b.txt", "notes/a b.txt"),
        ("./notes//a.txt", "notes/a.txt"),
        ("/srv/./notes/", "/srv/notes"),
        (".", "."),
        ("./", "."),
        ("/", "/"),
        ("100%.txt", "100%.txt"),
        ("..notes", "..notes"),
        ("a...b/...", "a...b/..."),
        ("grüße.txt", "grüße.txt"),
    ],
)
def test_a_path_has_one_form(text: str, form: str) -> None:
    assert path_form(text) == form


@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        "../x",
        "/srv/../etc",
        "a/..",
        "/srv/%2e%2e/etc",
        "/srv/%2E./etc",
        "a%2fb",
        "a%5cb",
        "a%00",
        "a%252e",
        "a\\b",
        "..\\x",
        "//server/share",
        "///etc",
        "\\\\server\\share",
        "C:/x",
        "c:x",
        "C:\\x",
        "file:///etc/passwd",
        "FILE:/etc/passwd",
        "file:x",
        "smb://host/x",
        "~/x",
        "~root/x",
        "./~/x",
        "./C:/x",
        "a\x00b",
        "a\nb",
        "a\x1b[31m",
        "a\u200bb",
        "a\u202eb",
        "a\ufe0fb",
        " /etc",
        "/etc ",
        "/srv/．．/etc",  # full-width dots
        "a／b",  # full-width slash
        "a＼b",
        "‥/x",  # a two-dot leader
        "a％2e",
        "gru\u0308n",  # not NFC
        "a" * 5000,
    ],
)
def test_a_path_that_readers_take_differently_is_refused(text: str) -> None:
    assert path_form(text) is None


PATHS = st.one_of(
    st.lists(st.sampled_from(["a", "b.txt", ".", "..", "", "...", "%2e", "~", "ü", "C:", " ", "．．"]), max_size=6).map(
        "/".join
    ),
    st.text(alphabet="ab./\\%2e~: ", max_size=16),
    st.text(max_size=20),
)


@given(PATHS)
def test_an_accepted_path_is_where_posix_says_it_is(text: str) -> None:
    form = path_form(text)
    assume(form is not None)
    assert form is not None
    assert form == posixpath.normpath(text)
    assert path_form(form) == form
    assert posixpath.isabs(form) == posixpath.isabs(text)
    inside = posixpath.normpath(posixpath.join("/root", form.lstrip("/")))
    assert inside == "/root" or inside.startswith("/root/"), "it climbs nowhere"


# -- amounts


@pytest.mark.parametrize(
    ("value", "form"),
    [(0, 0), (12, 12), (12.5, 12.5), (12.0, 12), (-0.0, 0), ("12.50", 12.5), ("12", 12), ("0.10", 0.1), ("100.00", 100)],
)
def test_an_amount_is_a_number_however_it_is_written(value: object, form: float) -> None:
    read = amount_form(value)
    assert read == form
    assert type(read) is type(form)


@pytest.mark.parametrize(
    "value",
    [
        *(-1, -0.01, float("nan"), float("inf"), 2**53, True, None, [1], "-1", "+1", "1e3", "1,000.00", "1.000,00", "1."),
        *(".5", "", " 1", "1 ", "01", "0x10", "١٢", "12.50 EUR", "NaN", "Infinity", "1_000", "9" * 16, "0.1234567890123456"),
    ],
)
def test_what_is_no_plain_amount_is_refused(value: object) -> None:
    assert amount_form(value) is None


@given(st.decimals(min_value=0, max_value=10**12, places=2))
def test_decimal_text_is_the_number_that_it_says(amount: object) -> None:
    assert amount_form(f"{amount}") == float(f"{amount}")


# -- recipients


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("alice@example.com", "alice@example.com"),
        ("Alice@Example.COM", "Alice@example.com"),
        ("DE89370400440532013000", "DE89370400440532013000"),
        ("#general", "#general"),
        ("@alice", "@alice"),
        ("Müller & Sons", "Müller & Sons"),
    ],
)
def test_a_recipient_has_one_form(text: str, form: str) -> None:
    assert recipient_form(text) == form


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        " alice",
        "alice ",
        "alice\n",
        "al\u200bice",
        "ecila\u202e",
        "alice\ufe0f",
        "alice\U000e0041",
        "Mu\u0308ller",  # not NFC
        "ａlice",
        "alice＠example.com",
        "Alice <alice@example.com>",
        "evil@evil.example,alice@example.com",
        "evil@evil.example;alice@example.com",
        "evil@evil.example alice@example.com",
        "a@b@example.com",
        '"a b"@example.com',
        "alice@",
        "mailto:alice@example.com",
    ],
)
def test_a_recipient_that_readers_take_differently_is_refused(text: str) -> None:
    assert recipient_form(text) is None


@given(st.text(max_size=30) | st.emails() | st.from_regex(r"[\w.@ -]{1,30}", fullmatch=True))
def test_no_accepted_recipient_hides_a_character(text: str) -> None:
    form = recipient_form(text)
    if form is None:
        return
    assert all(unicodedata.category(char) not in {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"} for char in form)
    assert unicodedata.normalize("NFC", form) == form
    assert recipient_form(form) == form


# -- fields

FIELDS = {
    FieldRole.PATH: ("/files/*/path",),
    FieldRole.HOST: ("/url", "/mirrors"),
    FieldRole.AMOUNT: ("/amount",),
    FieldRole.CONTENT: ("/body",),
}


def test_the_values_of_declared_fields_are_read_by_role_wherever_they_stand() -> None:
    arguments = {
        "files": [{"path": "./a"}, {"path": "/b/"}, {"other": 1}],
        "url": "https://API.example.com/x",
        "mirrors": ["a.example:8080", "b.example"],
        "amount": "12.50",
        "body": "C:\\..\\anything\u200b",
        "more": 1,
    }
    assert read_fields(arguments, FIELDS) == {
        FieldRole.PATH: ["a", "/b"],
        FieldRole.HOST: ["api.example.com", "a.example:8080", "b.example"],
        FieldRole.AMOUNT: [12.5],
    }


def test_a_null_and_a_missing_argument_are_no_value() -> None:
    assert read_fields({"url": None}, FIELDS) == {}


@pytest.mark.parametrize(
    ("arguments", "role", "pointer"),
    [
        ({"files": [{"path": "a"}, {"path": "../b"}]}, FieldRole.PATH, "/files/*/path"),
        ({"url": {"host": "a.example"}}, FieldRole.HOST, "/url"),
        ({"mirrors": ["a.example", ["b.example"]]}, FieldRole.HOST, "/mirrors"),
        ({"amount": -1}, FieldRole.AMOUNT, "/amount"),
        ({"url": 5}, FieldRole.HOST, "/url"),
    ],
)
def test_one_value_without_a_form_refuses_them_all_and_is_not_quoted(
    arguments: dict[str, object], role: FieldRole, pointer: str
) -> None:
    bad = read_fields(arguments, FIELDS)
    assert isinstance(bad, BadField)
    assert (bad.role, bad.pointer) == (role, pointer)
    assert "../b" not in bad.why


WAYS = [
    ("/to/*", {"to": "evil@evil.example"}),
    ("/to/*", {"to": {"0": "evil@evil.example"}}),
    ("/to/*", {"to": {"*": "evil@evil.example"}}),
    ("/to/*", {"to": 5}),
    ("/to/*", {"to": False}),
    ("/to/*", {"to": ""}),
    ("/to/*", {"to": [["a@example.com", ["evil@evil.example"]]]}),
    ("/to/*", {"to": [{"address": "evil@evil.example"}]}),
    ("/to/*/address", {"to": [{"address": "a@example.com"}, "evil@evil.example"]}),
    ("/to/*/address", {"to": [{"address": "a@example.com"}, [{"address": "evil@evil.example"}]]}),
    ("/to/*/address", {"to": {"address": "evil@evil.example"}}),
    ("/to/*/*", {"to": [["a@example.com"], "evil@evil.example"]}),
    ("/to", {"to": [["evil@evil.example"]]}),
    ("/to", {"to": [{"address": "evil@evil.example"}]}),
    ("/to", {"to": {"address": "evil@evil.example"}}),
    ("/a/b", {"a": "evil@evil.example"}),
    ("/a/b", {"a": [{"b": "evil@evil.example"}]}),
    ("/a/b", {"a": []}),
    ("/a/0", {"a": "evil@evil.example"}),
    ("/a/-", {"a": ["evil@evil.example"]}),
    ("/a~1b/c", {"a/b": "evil@evil.example"}),
]


@pytest.mark.parametrize(("pointer", "arguments"), WAYS, ids=[f"{pointer} {arguments}" for pointer, arguments in WAYS])
def test_a_field_that_meets_a_value_of_another_kind_refuses_the_call(pointer: str, arguments: dict[str, object]) -> None:
    for role in (FieldRole.RECIPIENT, FieldRole.PATH, FieldRole.HOST, FieldRole.AMOUNT):
        bad = read_fields(arguments, {role: (pointer,)})
        assert isinstance(bad, BadField)
        assert (bad.role, bad.pointer) == (role, pointer)
        assert "evil" not in bad.why


@pytest.mark.parametrize(
    ("pointer", "arguments"),
    [
        ("/to/*", {}),
        ("/to/*", {"to": None}),
        ("/to/*", {"to": []}),
        ("/to/*", {"to": [None]}),
        ("/to/*/address", {"to": [{}, None, {"address": None}]}),
        ("/a/b", {"a": {}}),
        ("/a/b/c", {"a": {"b": None}}),
        ("/a/3", {"a": ["x"]}),
    ],
)
def test_what_is_absent_or_null_on_the_way_is_no_value(pointer: str, arguments: dict[str, object]) -> None:
    assert read_fields(arguments, {FieldRole.RECIPIENT: (pointer,)}) == {}


def test_a_member_may_be_named_like_an_index_or_with_a_slash() -> None:
    arguments = {"a": {"0": "x", "b/c": {"~": "y"}}}
    read = read_fields(arguments, {FieldRole.RECIPIENT: ("/a/0", "/a/b~1c/~0")})
    assert read == {FieldRole.RECIPIENT: ["x", "y"]}


def test_content_of_another_kind_is_not_read_and_not_refused() -> None:
    assert read_fields({"body": {"x": 1}}, {FieldRole.CONTENT: ("/body/*",)}) == {}


@given(
    st.dictionaries(
        st.sampled_from(["url", "files", "amount", "mirrors"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet=string.printable),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["path", "x"]), inner, max_size=2),
            max_leaves=8,
        ),
    )
)
def test_whatever_the_arguments_are_they_are_read_or_refused(arguments: dict[str, object]) -> None:
    read = read_fields(arguments, FIELDS)
    if isinstance(read, BadField):
        return
    for role, values in read.items():
        assert values
        for value in values:
            assert isinstance(value, (int, float)) if role is FieldRole.AMOUNT else isinstance(value, str)
