"""Random JSON and random damage. Everything comes from the Random it is given, so that a case can be run again."""

import json
from random import Random
from typing import Any

NUMBERS = (
    *(0, 1, -1, 2**53 - 1, 2**53, -(2**53), 10**19, 10**400, 0.5, -0.0, 1e21, 1e-7, 5e-324, 1.7976931348623157e308, 1e15),
    *(123456789.125, float("inf"), float("nan")),
)
CHARS = 'ab"\\/\x00\x1f\x7f\x80é€\u2028\ud800\udfff\ufeff\U0001f600\u202e{}[]:,tnf0'
LITERALS = (
    *(b"NaN", b"-Infinity", b"1e999", b"9007199254740993", b"-0", b"1.0", b"01", b"+1", b".5", b"\\u0000", b"\\ud800"),
    *(b"\\udc00\\ud800", b'"a":1,"a":2', b"null", b"[]", b"{}", b'""', b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\n", b"\r"),
    *(b"\xef\xbb\xbf", b"[" * 70, b"]" * 70, b'{"":' * 70, b"//", b"1" * 30, b'"id":', b'"method":', b'"_meta":'),
)


def text(rng: Random) -> str:
    return "".join(rng.choices(CHARS, k=rng.choice((0, 1, 2, 5, 12))))


def value(rng: Random, depth: int = 4) -> Any:
    """A JSON value, some of it outside of what is allowed."""
    kind = rng.randrange(8 if depth else 5)
    match kind:
        case 0:
            return text(rng)
        case 1 | 2:
            return rng.choice(NUMBERS) if rng.random() < 0.5 else rng.randrange(-1000, 1000)
        case 3:
            return rng.choice((True, False, None))
        case 4:
            return rng.uniform(-1e6, 1e6)
        case 5:
            return [value(rng, depth - 1) for _ in range(rng.randrange(4))]
        case 6 | 7:
            return {text(rng): value(rng, depth - 1) for _ in range(rng.randrange(4))}
    raise AssertionError(kind)


def document(rng: Random) -> bytes:
    """The bytes of a JSON value, mostly well-formed."""
    dumped = json.dumps(value(rng), ensure_ascii=rng.random() < 0.5, separators=rng.choice(((",", ":"), (", ", ": "))))
    data = dumped.encode("utf-8", "surrogatepass")
    if rng.random() < 0.1:
        depth = rng.choice((62, 63, 64, 65, 66, 200))
        data = b"[" * depth + data + b"]" * depth
    return damaged(rng, data) if rng.random() < 0.5 else data


def damaged(rng: Random, data: bytes) -> bytes:
    """`data` after one to four small accidents."""
    held = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(held) + 1)
        match rng.randrange(7):
            case 0 if held:
                held[at - 1] ^= 1 << rng.randrange(8)
            case 1:
                held[at:at] = rng.choice(LITERALS)
            case 2:
                del held[at : at + rng.randrange(1, 9)]
            case 3:
                held[at:at] = held[at : at + rng.randrange(1, 40)]
            case 4:
                held[at : at + rng.randrange(4)] = rng.choice(LITERALS)
            case 5:
                held[at:at] = rng.randbytes(rng.randrange(1, 4))
            case _:
                other = rng.randrange(len(held) + 1)
                low, high = min(at, other), max(at, other)
                held[low:high] = bytes(reversed(held[low:high])) if rng.random() < 0.2 else held[low:high] * 2
        if len(held) > 20_000:
            del held[20_000:]
    return bytes(held)


def replanted(rng: Random, tree: Any) -> Any:
    """`tree` with one of its nodes replaced, removed or added."""
    copied = json.loads(json.dumps(tree))
    places: list[tuple[Any, Any]] = []
    todo = [copied]
    while todo:
        node = todo.pop()
        for key in node if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                todo.append(node[key])
    node, key = rng.choice(places)
    match rng.randrange(4):
        case 0:
            del node[key]
        case 1 if isinstance(node[key], str) and node[key]:
            node[key] = damaged(rng, node[key].encode()).decode(errors="replace")
        case 2 if isinstance(node, dict):
            node[text(rng).encode(errors="replace").decode()] = 1
        case _:
            node[key] = json.loads(json.dumps(value(rng)).replace("NaN", "0").replace("Infinity", "0"))
    return copied


def arguments(rng: Random) -> bytes:
    """The bytes of a JSON object in any of the spellings that JSON has for it; some break a rule of ours, some of JSON."""
    names = [_name(rng, number) for number in range(rng.choice((1, 2, 3, 5)))]
    if rng.random() < 0.1:
        names.append(rng.choice(names))
    members = [
        _gap(rng) + _spelled_text(rng, name) + _gap(rng) + b":" + _spelled(rng, value(rng, 3)) + _gap(rng) for name in names
    ]
    data = b"{" + b",".join(members) + b"}"
    return damaged(rng, data) if rng.random() < 0.15 else data


def _name(rng: Random, number: int) -> str:
    """Another one for each number."""
    base = rng.choice(("a", "text", "é", "\u2028", "__proto__", "constructor", "10", "", "\U0001f600", text(rng)))
    return f"{base}{number}"


def _spelled(rng: Random, tree: Any) -> bytes:
    gap = _gap(rng)
    match tree:
        case bool() | None:
            return gap + json.dumps(tree).encode()
        case str():
            return gap + _spelled_text(rng, tree)
        case int() | float():
            return gap + _spelled_number(rng, tree)
        case list():
            return gap + b"[" + b",".join(_spelled(rng, item) for item in tree) + b"]"
        case _:
            pairs = (_spelled_text(rng, name) + b":" + _spelled(rng, item) for name, item in tree.items())
            return gap + b"{" + b",".join(pairs) + b"}"


def _spelled_number(rng: Random, number: float) -> bytes:
    if number != number or number in (float("inf"), float("-inf")):
        return rng.choice((b"1e308", b"-1.7976931348623157e308", b"1e-320", b"0.1e1"))
    plain = json.dumps(number).encode()
    if "e" in str(number) or rng.random() < 0.6:
        return plain
    spelled = (plain + b"e0", plain + b"E+0", plain + b"0" if b"." in plain else plain + b".0", plain + b"e-1")
    return rng.choice(spelled)


def _spelled_text(rng: Random, content: str) -> bytes:
    out = []
    for char in content:
        if rng.random() < 0.2:
            units = char.encode("utf-16-be", "surrogatepass")
            out.append("".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)))
        else:
            out.append(json.dumps(char, ensure_ascii=rng.random() < 0.3)[1:-1])
    return b'"' + "".join(out).encode("utf-8", "surrogatepass") + b'"'


def _gap(rng: Random) -> bytes:
    return rng.choice((b"", b"", b"", b" ", b"\t", b"\r\n "))
