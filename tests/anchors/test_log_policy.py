"""Log policies as https://c2sp.org/tlog-policy words them: what a text means, and every line that is refused."""

import itertools

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.keys import FileSigner
from gateway.core.cosignature import cosign
from gateway.core.dsse import NotVerified
from gateway.core.log_policy import LogPolicy, PolicyFault, parse_log_policy
from gateway.core.verifier_key import SignatureType, VerifierKey, parse_verifier_key
from tests.anchors.world import Log

NAMES = ("X1", "X2", "X3", "Y1", "Y2", "Y3")
SIGNERS = {name: FileSigner(Ed25519PrivateKey.generate()) for name in NAMES}
KEYS = {
    name: VerifierKey(f"witness.example/{name}", SignatureType.COSIGNATURE, signer.public_key)
    for name, signer in SIGNERS.items()
}
LOG = Log().grow(5)
WITNESSES = "\n".join(f"witness {name} {KEYS[name].text}" for name in NAMES)
EXAMPLE = f"""\
# The example of the specification.
log {LOG.key.text}

{WITNESSES}
group X-witnesses 2 X1 X2 X3
\tgroup Y-witnesses any \t Y1 Y2 Y3
group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def policy(text: str) -> LogPolicy:
    return parse_log_policy(text.encode())


def cosigned(*names: str, log: Log = LOG) -> str:
    """The log's checkpoint with these witnesses' cosignatures."""
    checkpoint = log.checkpoint()
    return log.note() + "".join(cosign(checkpoint, KEYS[name], SIGNERS[name], 1_700_000_000) for name in names)


def test_the_example_asks_for_two_x_and_one_y() -> None:
    rules = policy(EXAMPLE)
    for count in range(len(NAMES) + 1):
        for names in itertools.combinations(NAMES, count):
            wanted = sum(name[0] == "X" for name in names) >= 2 and any(name[0] == "Y" for name in names)
            assert rules.met_by(frozenset(names)) == wanted


def test_a_checkpoint_with_the_quorum_is_opened_and_one_below_it_is_not() -> None:
    rules = policy(EXAMPLE)
    opened = rules.open(cosigned("X1", "X3", "Y2"))
    assert opened.checkpoint == LOG.checkpoint()
    assert {one.key for one in opened.cosignatures} == {KEYS["X1"], KEYS["X3"], KEYS["Y2"]}
    with pytest.raises(NotVerified, match="cosigned by X1, X3, which is not the quorum"):
        rules.open(cosigned("X1", "X3"))
    with pytest.raises(NotVerified, match="cosigned by no witness"):
        rules.open(cosigned())


def test_a_witness_counts_once_however_often_it_signed() -> None:
    with pytest.raises(NotVerified, match="not the quorum"):
        policy(EXAMPLE).open(cosigned("X1", "X1", "X1", "Y1"))


def test_a_cosignature_over_another_checkpoint_makes_the_note_malformed() -> None:
    other = cosign(Log().grow(6).checkpoint(), KEYS["Y3"], SIGNERS["Y3"], 1_700_000_000)
    with pytest.raises(NotVerified, match=r"witness\.example/Y3.* does not match"):
        policy(EXAMPLE).open(cosigned("X1", "X2", "Y1") + other)


def test_a_cosignature_with_another_time_does_not_match() -> None:
    line = cosign(LOG.checkpoint(), KEYS["X1"], SIGNERS["X1"], 1_700_000_000)
    changed = line.replace(line.split()[2][:12], line.split()[2][:11] + "B")
    assert changed != line
    with pytest.raises(NotVerified):
        policy(f"log {LOG.key.text}\n{WITNESSES}\nquorum X1").open(LOG.note() + changed)


def test_unknown_witnesses_are_passed_over() -> None:
    rules = policy(f"log {LOG.key.text}\nwitness only {KEYS['X1'].text}\nquorum only")
    assert [one.key for one in rules.open(cosigned("Y1", "X1", "X2")).cosignatures] == [KEYS["X1"]]
    with pytest.raises(NotVerified):
        rules.open(cosigned("Y1", "X2"))


def test_a_log_that_the_policy_does_not_list_is_refused() -> None:
    rules = policy(f"log {LOG.key.text}\nquorum none")
    assert rules.open(LOG.note()).cosignatures == ()
    for stranger in (Log("log.example/other").grow(5), Log().grow(5)):  # another name; the same name with another key
        with pytest.raises(NotVerified):
            rules.open(stranger.note())


def test_quorum_none_asks_nobody() -> None:
    assert policy("quorum none").met_by(frozenset())


def test_addresses_are_kept_as_written() -> None:
    rules = policy(f"log {LOG.key.text} https://log.example/\nwitness w {KEYS['X1'].text} http://127.0.0.1:8751\nquorum w")
    assert [(one.name, one.url) for one in rules.witnesses] == [("w", "http://127.0.0.1:8751")]


def test_names_are_compared_byte_for_byte() -> None:
    """The Kelvin sign and K, and the two spellings of é, are different names."""
    texts = ("K", "\u212a", "\u00e9", "e\u0301")
    lines = "\n".join(f"witness {name} {KEYS[key].text}" for name, key in zip(texts, NAMES, strict=False))
    assert [one.name for one in policy(f"{lines}\nquorum K").witnesses] == list(texts)


A, B, L = f"witness a {KEYS['X1'].text}", f"witness b {KEYS['X2'].text}", f"log {LOG.key.text}"
SAME_KEY = VerifierKey("another.example", SignatureType.COSIGNATURE, KEYS["X1"].public_key).text


WRONG_LINES = [
    ("", "line 1: there is no quorum line"),
    (A, "no quorum line"),
    (f"{A}\nquorum a\nquorum a", "line 3: there is a quorum line already"),
    ("quorum a", "line 1: 'a' is no witness or group of a line before"),
    (f"quorum a\n{A}", "line 1: 'a' is no witness"),
    (f"{A}\nquorum a b", "line 2: not a line of a policy"),
    (f"{A}\n{A.replace('witness a', 'witness b')}\nquorum a", "line 2: this witness's key stands here already"),
    (f"{A}\nwitness b {SAME_KEY}\nquorum a", "line 2: this witness's key stands here already"),
    (f"{A}\n{B.replace('witness b', 'witness a')}\nquorum a", "line 2: the name 'a' is taken"),
    (f"witness none {KEYS['X1'].text}\nquorum none", "the name 'none' is taken"),
    (f"{L}\n{L}\nquorum none", "line 2: this log's key stands here already"),
    (f"log {KEYS['X1'].text}\nquorum none", "line 1: a log's key has signature type 01"),
    (f"witness a {LOG.key.text}\nquorum a", "line 1: a witness's key has signature type 04"),
    (f"{A}\ngroup g all\nquorum g", "line 2: not a line of a policy"),
    (f"{A}\ngroup g 0 a\nquorum g", "line 2: '0' is not all, any or a number"),
    (f"{A}\ngroup g 01 a\nquorum g", "line 2: '01' is not all, any or a number"),
    (f"{A}\ngroup g 2 a\nquorum g", "line 2: 2 of 1 members can never be"),
    (f"{A}\ngroup g any a a\nquorum g", "line 2: 'a' is a member already"),
    (f"{A}\n{B}\ngroup g any a b\ngroup h any a g\nquorum h", "line 4: 'a' is a member already"),
    (f"{A}\ngroup g any g\nquorum g", "line 2: 'g' is no witness or group"),
    (f"{A}\ngroup g any none\nquorum g", "line 2: 'none' is no witness or group"),
    ("witness a x+1+y\nquorum a", "line 1: "),
    (f"witness a {KEYS['X1'].text} http://x extra\nquorum a", "line 1: not a line of a policy"),
    ("hello\nquorum none", "line 1: not a line of a policy"),
    ("\ufeffquorum none", "line 1: not a line of a policy"),
    ("quorum none\r\n", "control characters"),
    ("quorum\u00a0none", "line 1: not a line of a policy"),
    ("\n" * 2000 + "quorum none", "at most 1000 lines"),
]


@pytest.mark.parametrize(("text", "told"), WRONG_LINES, ids=[told for _, told in WRONG_LINES])  # the keys are new each time
def test_a_wrong_line_is_told_with_its_number(text: str, told: str) -> None:
    with pytest.raises(PolicyFault) as raised:
        policy(text)
    assert told in str(raised.value)


def test_a_text_that_is_not_utf8_is_told_with_its_line() -> None:
    with pytest.raises(PolicyFault, match="line 2: it is not UTF-8"):
        parse_log_policy(b"# one\n# \xff\nquorum none")


@given(st.binary(max_size=400) | st.text(alphabet="quormgpwitnesl \t\n#+aB1=", max_size=300).map(str.encode))
def test_any_bytes_give_a_policy_or_a_fault(data: bytes) -> None:
    try:
        told = parse_log_policy(data).quorum
    except PolicyFault as fault:
        told = str(fault).partition("line ")[2]
    assert told


@given(st.text(min_size=1, max_size=40), st.sampled_from(list(SignatureType)), st.binary(min_size=32, max_size=32))
def test_a_verifier_key_reads_back_as_itself_and_no_changed_one_does(name: str, kind: SignatureType, raw: bytes) -> None:
    key = VerifierKey(name, kind, raw)
    try:
        assert parse_verifier_key(key.text) == key
    except ValueError:
        assert any(char.isspace() or char in "+" or ord(char) < 32 or ord(char) == 127 for char in name)
        return
    for changed in (key.text + " ", key.text[:-1], key.text.replace("+", "+0", 1), "x" + key.text, key.text.upper()):
        if changed != key.text:
            with pytest.raises(ValueError, match=r"verifier key|key name|damaged"):
                parse_verifier_key(changed)
