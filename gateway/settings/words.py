"""The texts a configuration holds, as types: what each may look like and, where it does not, what to write instead.

Every message reads on after the value: `"x" is not a principal. Write …`. The JSON Schema carries the pattern that is
checked here; what a pattern cannot say is checked besides.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from gateway.core.addresses import is_loopback_host
from gateway.core.capability import RESERVED
from gateway.core.catalog import skeleton
from gateway.core.method import STANDING
from gateway.core.normal_forms import host_form
from gateway.core.run_context import PRINCIPAL_PATTERN
from gateway.core.sshsig import KEY_TYPES, BadSshKey, read_ssh_key

MAX_SERVER_NAME = 31


@dataclass(frozen=True, slots=True)
class Shape:
    """A text that matches `pattern` as a whole; `otherwise` tells what to write."""

    pattern: str
    otherwise: str

    def check(self, text: str) -> str:
        if re.fullmatch(self.pattern, text) is None:
            raise ValueError(self.otherwise)
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) | {"pattern": f"^({self.pattern})$"}


def suggested_name(name: str) -> str:
    """The allowed server name nearest to `name`."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:MAX_SERVER_NAME].strip("-") or "server"


def _server_name(name: str) -> str:
    if len(name) > MAX_SERVER_NAME or re.fullmatch(r"[A-Za-z0-9]+([_-][A-Za-z0-9]+)*", name) is None:
        raise ValueError(
            "is not a server name. Use letters and digits with single - or _ between them, at most "
            f"{MAX_SERVER_NAME} characters. Write for example: {suggested_name(name)}"
        )
    if skeleton(name) == skeleton(RESERVED):
        raise ValueError(f"is, or looks like, the gateway's own name {RESERVED}. Give the server another one.")
    return name


def _path(text: str) -> str:
    if text.startswith("~"):
        raise ValueError("starts with ~, which only shells understand. Write the whole path.")
    return text


def _ed25519(text: str) -> str:
    try:
        raw = b64decode(text, validate=True)
    except (Base64Error, ValueError):
        raw = b""
    if len(raw) != 32 or b64encode(raw).decode() != text:  # one spelling per key, so that equal keys are equal texts
        raise ValueError("is not an Ed25519 public key. Write the base64 of its 32 raw bytes: 44 characters that end in =")
    return text


def _ssh_key(text: str) -> str:
    try:
        read_ssh_key(text)
    except BadSshKey as error:
        raise ValueError(f"{error}. Write the line of the .pub file, for example: ssh-ed25519 AAAA… alice@laptop") from None
    return text


def _moment(text: str) -> str:
    """The one form that times are compared in: with milliseconds."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("is a day or a time that there is not. Write for example: 2027-01-01T00:00:00Z") from None
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def _http_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or re.search(r"[\s\x00-\x1f\x7f]", url):
        raise ValueError("is not an http:// or https:// address. Write for example: https://mcp.example.com/mcp")
    if "@" in parts.netloc:
        raise ValueError("holds a user name or password. Put credentials into headers.")
    if parts.fragment:
        raise ValueError("ends in a #fragment, which is never sent. Remove it.")
    return url


def is_http_url(text: str) -> bool:
    """Whether a place is one on the web, not a path."""
    return text.startswith(("http://", "https://"))


def _server_url(url: str) -> str:
    parts = urlsplit(_http_url(url))
    if host_form(f"{parts.scheme}://{parts.netloc}/") is None:
        raise ValueError(
            "spells its host in a way that not all programs read alike. Write a name in ASCII (xn--…) without a dot at its "
            "end, or an address such as 192.0.2.1 or [2001:db8::1]"
        )
    return url


def _hook_url(url: str) -> str:
    parts = urlsplit(_http_url(url))
    if parts.scheme == "http" and not is_loopback_host(parts.hostname or ""):
        raise ValueError("sends arguments unencrypted. Write https:// for what is not on this machine.")
    return url


def _secret_url(url: str) -> str:
    parts = urlsplit(_http_url(url))
    if parts.scheme == "http" and not is_loopback_host(parts.hostname or ""):
        raise ValueError("could be answered by anybody on the way. Write https:// for what is not on this machine.")
    return url


def _issuer_url(url: str) -> str:
    if "?" in _secret_url(url):
        raise ValueError("has a query, which no issuer has (RFC 8414). Write it as `iss` in its tokens has it.")
    return url


def _public_url(url: str) -> str:
    if re.search(r"[?\"\\]", _http_url(url)):
        raise ValueError("is no address of a resource. Write for example: https://gateway.example.com/mcp")
    return url


def _plain_host(host: str) -> str:
    form = host_form(host)
    if form is None:
        raise ValueError(
            "spells a host in a way that not all programs read alike. Write a name, or an address such as 192.0.2.1 or "
            "[2001:db8::1]"
        )
    return form


def _glob(pattern: str) -> str:
    if "__" not in pattern and not set(pattern) & set("*?["):
        raise ValueError(f"matches no tool: tools are called server__tool. Write for example: *__{pattern}")
    if "/" in pattern and not any(fnmatchcase(method, pattern.partition("__")[2] or pattern) for method in STANDING):
        raise ValueError(f"has a slash, and names none of: {', '.join(sorted(STANDING))}. Write server__resources/read")
    return pattern


_LABEL = r"[A-Za-z0-9]([A-Za-z0-9_-]{0,62})?"
_HOST = rf"{_LABEL}(\.{_LABEL})*"
_HOST_OR_IPV6 = rf"({_HOST}|\[[0-9A-Fa-f:.]+\])"
_PORT = r"(:[0-9]{1,5})?"

ServerName = Annotated[
    str,
    AfterValidator(_server_name),
    WithJsonSchema({"type": "string", "pattern": rf"^(?=.{{1,{MAX_SERVER_NAME}}}$)[A-Za-z0-9]+([_-][A-Za-z0-9]+)*$"}),
]
PrincipalName = Annotated[
    str,
    Shape(
        PRINCIPAL_PATTERN,
        "is not a principal. Write user:, service:, agent: or automation: and an id, for example: user:alice",
    ),
]
TenantName = Annotated[
    str,
    Shape(
        r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}",
        "is not a tenant name. Use letters, digits, `.`, `_` and `-`, at most 63 characters.",
    ),
]
OwnerName = Annotated[
    str, Shape(r"[^\x00-\x1f\x7f]{1,128}", "is not an owner. Write a name of 1 to 128 characters on one line.")
]
ListenHost = Annotated[
    str,
    Shape(
        rf"{_HOST}|[0-9A-Fa-f:.]+",
        "is not an address to listen on. Write a host without scheme and port, for example: 127.0.0.1",
    ),
]
HostHeader = Annotated[
    str,
    Shape(
        _HOST_OR_IPV6 + _PORT,
        "is not a host. Write host or host:port without a scheme, for example: gateway.example.com:8443",
    ),
]
WebOrigin = Annotated[
    str,
    Shape(
        f"https?://{_HOST_OR_IPV6}{_PORT}",
        "is not a web origin. Write scheme and host, with the port if there is one, for example: https://app.example.com",
    ),
]
_NO_EGRESS_HOST = "is not a host. Write its name without scheme and wildcard, for example: api.example.com"
EgressHost = Annotated[str, Shape(_HOST_OR_IPV6 + _PORT, _NO_EGRESS_HOST), AfterValidator(_plain_host)]
LogOrigin = Annotated[
    str,
    Shape(
        r"[^\s+\x00-\x1f\x7f]{1,255}",
        "is not a log origin. Write a name without spaces and plus signs, for example: example.com/gateway",
    ),
]
PathText = Annotated[
    str,
    Shape(r".*\S.*", "is not a path. Write a file or folder, absolute or relative to this file."),
    AfterValidator(_path),
]
Sha256Hex = Annotated[
    str,
    Shape(r"[0-9a-fA-F]{64}", 'is not a SHA-256. Write the 64 hex digits of: printf %s "$TOKEN" | sha256sum'),
    AfterValidator(str.lower),
]
Sha256OfFile = Annotated[
    str,
    Shape(r"[0-9a-fA-F]{64}", "is not a SHA-256. Write the 64 hex digits that sha256sum FILE prints."),
    AfterValidator(str.lower),
]
SshPublicKey = Annotated[
    str,
    AfterValidator(_ssh_key),
    WithJsonSchema({"type": "string", "pattern": f"^({'|'.join(map(re.escape, KEY_TYPES))}) [A-Za-z0-9+/]+={{0,2}}( .*)?$"}),
]
Ed25519Base64 = Annotated[
    str, AfterValidator(_ed25519), WithJsonSchema({"type": "string", "pattern": "^[A-Za-z0-9+/]{43}=$"})
]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
HookUrl = Annotated[str, AfterValidator(_hook_url)]
SecretUrl = Annotated[str, AfterValidator(_secret_url)]
IssuerUrl = Annotated[str, AfterValidator(_issuer_url)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
# RFC 6749 section 3.3: printable ASCII without space, quote and backslash
ScopeName = Annotated[str, Shape(r"[!#-\[\]-~]{1,255}", "is not a scope. Write for example: tools.call")]
ClaimName = Annotated[str, Shape(r"[!-~]{1,255}", "is not the name of a claim. Write for example: tid")]
PrincipalPrefix = Annotated[
    str,
    Shape(
        r"(user|service|agent|automation):([A-Za-z0-9][A-Za-z0-9._@=/|:-]{0,63})?",
        "is no beginning of a principal. Write for example: user: or user:corp|",
    ),
]
ServerUrl = Annotated[str, AfterValidator(_server_url)]
_GLOB = r"[A-Za-z0-9_.*?\[\]!/-]{1,128}"
GLOB_SCHEMA = {"type": "string", "pattern": f"^({_GLOB})$"}
ToolGlob = Annotated[
    str,
    Shape(
        _GLOB,
        "is not a glob over tool names. Write server__tool, with * for any text, for example: notes__read_*",
    ),
    AfterValidator(_glob),
]
OperationGlob = Annotated[
    str,
    Shape(
        r"[\x21-\x7e]{1,256}|[A-Z*?]{1,16} [\x21-\x7e]{1,512}",
        "is not a glob over operations. Write a tool's name or METHOD /path, with * for any text, for example: GET /users/*",
    ),
]
ModuleName = Annotated[
    str,
    Shape(
        r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*|[^~].*\.py",
        "is not a module. Write a file that ends in .py, or the name of an installed module, for example: shop.tools",
    ),
]
ToolName = Annotated[
    str,
    Shape(
        r"[A-Za-z0-9_-]{1,64}__[A-Za-z0-9][A-Za-z0-9_.-]{0,63}",
        "is not the name of a tool. Write server__tool, for example: shop__order_status",
    ),
]
_POINTER = r"(/[^/]{1,128}){1,16}"
POINTER_SCHEMA = {"type": "string", "pattern": f"^({_POINTER})$"}
JsonPointer = Annotated[
    str,
    Shape(_POINTER, "is not a JSON pointer into the arguments. Write for example: /to, or /to/* for each of a list"),
]
DelegationScope = Annotated[
    str,
    Shape(
        r"[A-Za-z0-9_-]{1,64}__([A-Za-z0-9][A-Za-z0-9_.-]{0,63}|\*)",
        "is no scope. Write a tool or all tools of a server, for example: mail__send or mail__*",
    ),
]
UtcTime = Annotated[
    str,
    Shape(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3})?Z",
        "is not a time in UTC. Write for example: 2027-01-01T00:00:00Z",
    ),
    AfterValidator(_moment),
]
VariableName = Annotated[str, Shape(r"[^=\s\x00]+", "is not the name of a variable. Write for example: API_KEY")]
# RFC 9110 sections 5.1 and 5.5
HeaderName = Annotated[str, Shape(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", "is not a header name. Write for example: Authorization")]
HeaderValue = Annotated[
    str, Shape(r"[\t\x20-\x7e\x80-\xff]*", "holds a line break or another character that no header can carry. Remove it.")
]
