"""What a capability is to the protocol: the MCP method that one call of it is."""

from enum import StrEnum


class Method(StrEnum):
    """A tool of an upstream, another thing that an upstream does, or a thing that an upstream asks of the client."""

    TOOL = "tools/call"
    RESOURCE = "resources/read"
    SUBSCRIBE = "resources/subscribe"
    PROMPT = "prompts/get"
    COMPLETE = "completion/complete"
    ELICIT = "elicitation/create"
    SAMPLE = "sampling/createMessage"
    ROOTS = "roots/list"

    @property
    def asks_client(self) -> bool:
        """Whether the upstream asks and the client answers: the other way round than a tool."""
        return self in ASKED


ASKED = frozenset({Method.ELICIT, Method.SAMPLE, Method.ROOTS})
"""Off, each of them, until the operator names it in a rule."""

READ = frozenset({Method.RESOURCE, Method.SUBSCRIBE, Method.PROMPT, Method.COMPLETE})
"""What an upstream does beside its tools. `read_only` unless the operator says otherwise."""


STANDING = ASKED | READ
"""All that is no tool. Each is one capability of its upstream."""


def method_of(name: str) -> Method:
    """The method of a capability by the name in its definition: no tool's name has a slash in it."""
    return Method(name) if "/" in name else Method.TOOL
