"""From an agent's card to the definitions of its tools: one for each skill.

A card is a stranger's text. What a call relies on stands in the definition, so that the pin covers it: the skill, who the
agent says it is, and the URL that calls are sent to. That URL is at the card's own scheme, host and port, or at a host that
the operator listed: a card cannot send a call, and the credentials with it, elsewhere.

Source: A2A 1.0 specification, sections 4.4 "Agent Discovery Objects" and 8.3 "Protocol declaration".
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from gateway.adapters.upstream.a2a.shapes import Card, Interface, Skill
from gateway.adapters.upstream.spec import AgentSpec, place_of
from gateway.core.addresses import is_loopback_host
from gateway.core.canonical import NotCanonical
from gateway.core.capability import ApprovalMode, ToolDefinition
from gateway.core.normal_forms import host_form
from gateway.core.seed import DECLARED
from gateway.core.wire import MAX_ANSWER_KEYS, Malformed, parse

MAX_BYTES = 1 << 20
MAX_SKILLS = 1_000
AGENT = "dev.sealgate/agent"
"""The key in `_meta` of a definition: who the agent says it is, and where it is called."""

BINDING = "JSONRPC"
MAJOR_VERSION = "1"
UNREADABLE = "Its card is no A2A 1.0 agent card."
TOO_MANY = f"Its card has more than {MAX_SKILLS} skills."
NO_INTERFACE = (
    "Its card names no JSON-RPC interface of A2A 1.x at the card's own scheme, host and port. "
    "If another host is meant, list it in hosts."
)

INPUT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "message": {"type": "string", "minLength": 1, "description": "What the agent is asked to do, in plain words."},
        "data": {"type": "object", "description": "Structured data that goes with the message."},
        "context_id": {
            "type": "string",
            "pattern": "^[\\x21-\\x7e]{1,256}$",
            "description": "The conversation to go on with, as an earlier result named it.",
        },
        "task_id": {
            "type": "string",
            "pattern": "^[\\x21-\\x7e]{1,256}$",
            "description": "The task to go on with, where an earlier result asked for input.",
        },
    },
    "required": ["message"],
    "additionalProperties": False,
}


class UnusableCard(Exception):
    """The card as a whole cannot be used. A fixed sentence for the operator, without its text."""


@dataclass(frozen=True, slots=True)
class SkillTool:
    """One skill as a tool: its definition, and the skill's own id."""

    definition: ToolDefinition
    skill_id: str


@dataclass(frozen=True, slots=True)
class Offered:
    """What a card offers: where calls go, the tools, and how many skills cannot be one."""

    interface: Interface
    tools: tuple[SkillTool, ...]
    unusable: int


def offered(data: bytes, spec: AgentSpec) -> Offered:
    """Raises `UnusableCard`."""
    try:
        card = Card.model_validate(parse(data, max_bytes=MAX_BYTES, max_keys=MAX_ANSWER_KEYS))
    except (Malformed, ValidationError):
        raise UnusableCard(UNREADABLE) from None  # their text quotes the card
    if len(card.skills) > MAX_SKILLS:
        raise UnusableCard(TOO_MANY)
    interface = _interface(card, spec)
    tools = [tool for skill in card.skills if (tool := _tool(skill, card, interface, spec)) is not None]
    return Offered(interface, tuple(tools), len(card.skills) - len(tools))


def _interface(card: Card, spec: AgentSpec) -> Interface:
    scheme, places = urlsplit(spec.url).scheme, spec.places
    for one in card.supported_interfaces:
        version = one.protocol_version.partition(".")[0]
        if one.protocol_binding == BINDING and version == MAJOR_VERSION and _is_at(one.url, scheme, places):
            return one
    raise UnusableCard(NO_INTERFACE)


def _is_at(url: str, scheme: str, places: tuple[tuple[str, int], ...]) -> bool:
    """Whether all readers of the URL find one of these places in it."""
    if not url.isascii() or host_form(url) is None or "#" in url:
        return False
    place = place_of(url)
    private = scheme == "https" or place == places[0] or is_loopback_host(place[0])  # what is sent may hold credentials
    return urlsplit(url).scheme == scheme and place in places and private


def _tool(document: dict[str, Any], card: Card, interface: Interface, spec: AgentSpec) -> SkillTool | None:
    """None where the skill has not the shape of one."""
    try:
        skill = Skill.model_validate(document)
        return SkillTool(ToolDefinition.from_document(spec.name, _definition(skill, card, interface)), skill.id)
    except (ValidationError, NotCanonical):
        return None


def _definition(skill: Skill, card: Card, interface: Interface) -> dict[str, Any]:
    agent = {"name": card.name, "version": card.version, "url": interface.url, "tenant": interface.tenant}
    if card.provider is not None:
        agent["provider"] = f"{card.provider.organization} {card.provider.url}".strip()
    examples = "".join(f"\n* {example}" for example in skill.examples)
    texts = (skill.description, f"Examples:{examples}" if examples else "", f"Tags: {', '.join(skill.tags)}")
    told = {
        "title": skill.name,
        "description": "\n\n".join(text for text in (texts if skill.tags else texts[:2]) if text),
    }
    return {
        "name": skill.id,
        **{key: text for key, text in told.items() if text},
        "inputSchema": INPUT_SCHEMA,
        "_meta": {
            DECLARED: {"mode": ApprovalMode.DELEGATED.value},
            AGENT: {key: text for key, text in agent.items() if text},
        },
    }
