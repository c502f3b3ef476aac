"""What spans blocks. These rules read the values as written, so that they are told together with all other mistakes.

* `upstreams`, `tools`, and the `tools` of whoever calls name configured servers only
* a tool that tells how lost calls ended (`reconcile`) is of the same server and read_only
* no two servers have names that look the same
* a token and an approver's key stand once
* keys of `mcpServers` that only a client understands are passed over with a warning; a misspelt one is a mistake
* no text holds a NUL or half a character: neither can be passed to a process
"""

import re
from base64 import b64decode
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from gateway.core.capability import SEPARATOR, ApprovalMode
from gateway.core.catalog import skeleton
from gateway.core.sshsig import read_ssh_key
from gateway.settings.layers import SERVER_BLOCKS
from gateway.settings.mistakes import Mistake, nearest, unknown_key
from gateway.settings.model import McpServer
from gateway.settings.yaml_source import Loc, printable

CLIENT_KEYS = frozenset(
    (
        "alwaysAllow",
        "auth",
        "autoApprove",
        "description",
        "dev",
        "disabled",
        "disabledTools",
        "displayName",
        "enabled",
        "envFile",
        "icon",
        "id",
        "metadata",
        "name",
        "oauth",
        "tags",
        "timeout",
        "title",
        "trust",
        "version",
    )
)
"""Keys that Claude, Cursor, VS Code, Cline, Windsurf and Gemini clients write into a server's block for themselves."""

RENAMED_KEYS = {"serverUrl": "url", "httpUrl": "url"}
"""What Windsurf and Gemini call a key of ours."""


def spanning_mistakes(values: dict[str, Any]) -> Iterator[Mistake]:
    """The mistakes in `values` by the rules above."""
    servers = values.get("mcpServers")
    servers = servers if isinstance(servers, dict) else {}
    blocks = {block: list(named) for block in SERVER_BLOCKS if isinstance(named := values.get(block), dict)}
    names = [name for block in blocks.values() for name in block]
    yield from _lookalikes(blocks)
    yield from _unconfigured_limits(values.get("upstreams"), names)
    yield from _unconfigured_globs(values, ("tools",), "match", names)
    for place in (("callers",), ("listen", "peers"), ("auth", "oauth", "issuers")):
        yield from _unconfigured_globs(values, place, "tools", names)
    yield from _unusable_reconcilers(values.get("tools"))
    yield from _repeated(values.get("callers"), "callers", "token_sha256", "the same token. Give each caller their own.")
    yield from _shared_keys(values.get("approvers"))
    yield from _misspelt_keys(servers)
    yield from _unusable_texts(values, ())


def passed_over(values: dict[str, Any]) -> Iterator[Mistake]:
    """Keys of servers that are read by clients and not by the gateway."""
    own = set(McpServer.model_fields)
    for name, server in _blocks(values.get("mcpServers")):
        for key in server:
            if key not in own and key not in RENAMED_KEYS:
                effect = "the server is started all the same" if key in ("disabled", "enabled") else "it means nothing here"
                yield Mistake(("mcpServers", name, key), f"is a key for clients; {effect}.", at_key=True)


def _blocks(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        yield from ((name, block) for name, block in value.items() if isinstance(block, dict))


def _lookalikes(blocks: dict[str, list[str]]) -> Iterator[Mistake]:
    seen: dict[str, Loc] = {}
    for block, names in blocks.items():
        for name in names:
            loc: Loc = (block, name)
            first = seen.setdefault(skeleton(name), loc)
            if first != loc:
                other = printable(str(first[1]))
                yield Mistake(loc, f'looks the same as the server "{other}". Rename one of them.', at_key=True)


def _unconfigured(name: str, servers: list[str]) -> str:
    missing = f'mcpServers has no "{printable(name)}".'
    close = nearest(name, servers)
    if close is not None:
        return f'{missing} Did you mean "{printable(close)}"?'
    return f"{missing} The servers are: {', '.join(map(printable, servers)) or 'none'}."


def _unconfigured_limits(upstreams: Any, servers: list[str]) -> Iterator[Mistake]:
    for name in upstreams if isinstance(upstreams, dict) else ():
        if name not in servers:
            yield Mistake(("upstreams", name), _unconfigured(name, servers), at_key=True)


def _unconfigured_globs(values: Any, place: tuple[str, ...], key: str, servers: list[str]) -> Iterator[Mistake]:
    """Globs under `key` of each block in the list at `place`."""
    rules = values
    for step in place:
        rules = rules.get(step) if isinstance(rules, dict) else None
    for index, rule in enumerate(rules if isinstance(rules, list) else ()):
        match = rule.get(key) if isinstance(rule, dict) else None
        globs: list[tuple[Loc, Any]] = [((*place, index, key), match)]
        if isinstance(match, list):
            globs = [((*place, index, key, number), glob) for number, glob in enumerate(match)]
        for loc, glob in globs:
            name, separator, _ = glob.partition(SEPARATOR) if isinstance(glob, str) else ("", "", "")
            if separator and not set(name) & set("*?[") and name not in servers:
                yield Mistake(loc, _unconfigured(name, servers))


def _unusable_reconcilers(tools: Any) -> Iterator[Mistake]:
    rules = [rule for rule in tools if isinstance(rule, dict)] if isinstance(tools, list) else []
    for index, rule in enumerate(rules):
        asked = rule.get("reconcile")
        if not isinstance(asked, str) or SEPARATOR not in asked:
            continue
        loc: Loc = ("tools", index, "reconcile")
        server = asked.partition(SEPARATOR)[0]
        other = next((glob for glob in _globs(rule) if glob.partition(SEPARATOR)[0] != server), None)
        if other is not None:
            yield Mistake(loc, f'is of another server than "{printable(other)}". Name a tool of the same server.')
            continue
        modes = (one.get("mode") for one in rules if any(fnmatchcase(asked, glob) for glob in _globs(one)))
        if next(modes, None) != ApprovalMode.READ_ONLY:
            yield Mistake(loc, f'names "{printable(asked)}", which no rule makes read_only. Add one before others.')


def _globs(rule: dict[str, Any]) -> list[str]:
    match = rule.get("match")
    return [glob for glob in (match if isinstance(match, list) else [match]) if isinstance(glob, str)]


def _repeated(entries: Any, block: str, key: str, text: str) -> Iterator[Mistake]:
    seen: dict[str, int] = {}
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        value = entry.get(key) if isinstance(entry, dict) else None
        if isinstance(value, str):
            first = seen.setdefault(value.lower() if key == "token_sha256" else value, index)
            if first != index:
                yield Mistake((block, index, key), f"{block}[{first}] has {text}")


def _shared_keys(approvers: Any) -> Iterator[Mistake]:
    """One Ed25519 key can be written in two forms; it is one key all the same."""
    seen: dict[bytes, int] = {}
    for index, entry in enumerate(approvers if isinstance(approvers, list) else ()):
        for key, value in entry.items() if isinstance(entry, dict) else ():
            bare = _bare_key(key, value)
            if bare and seen.setdefault(bare, index) != index:
                text = f"approvers[{seen[bare]}] has the same key. Give each approver their own."
                yield Mistake(("approvers", index, key), text)


def _bare_key(name: Any, value: Any) -> bytes | None:
    """The bytes of a public key; None where it is none, which is told elsewhere."""
    try:
        if name == "ssh_key" and isinstance(value, str):
            return read_ssh_key(value).material
        return b64decode(value, validate=True) if name == "public_key" and isinstance(value, str) else None
    except ValueError:
        return None


def _misspelt_keys(servers: dict[str, Any]) -> Iterator[Mistake]:
    own = list(McpServer.model_fields)
    for name, server in _blocks(servers):
        for key in server:
            if key in RENAMED_KEYS:
                yield Mistake(("mcpServers", name, key), f"is called {RENAMED_KEYS[key]} here. Rename it.", at_key=True)
            elif key not in own and key not in CLIENT_KEYS and nearest(key, own) is not None:
                yield Mistake(("mcpServers", name, key), unknown_key(key, own), at_key=True)


def _unusable_texts(value: Any, loc: Loc) -> Iterator[Mistake]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _unusable_texts(item, (*loc, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unusable_texts(item, (*loc, index))
    elif isinstance(value, str) and re.search("[\0\ud800-\udfff]", value):
        yield Mistake(loc, "holds a NUL or bytes that are not UTF-8. Remove them.")
