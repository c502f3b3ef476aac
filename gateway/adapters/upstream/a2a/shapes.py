"""What an agent sends: the parts of A2A 1.0 that are read, in its JSON form. Other members are passed over.

Source: A2A 1.0 specification, sections 4 "Protocol Data Model" and 5.5 "JSON Field Naming". A member that is null is unset.
"""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AliasGenerator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

Id = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,256}$")]
"""The id of a task or context. A caller is shown it and sends it back, so it is held to be plain."""


class Shape(BaseModel):
    """Read strictly: nothing is turned into another type."""

    model_config = ConfigDict(strict=True, frozen=True, alias_generator=AliasGenerator(validation_alias=to_camel))

    @model_validator(mode="before")
    @classmethod
    def _null_is_unset(cls, value: Any) -> Any:
        return {key: item for key, item in value.items() if item is not None} if isinstance(value, dict) else value


class Interface(Shape):
    """Where and how an agent can be called."""

    url: str
    protocol_binding: str = ""
    protocol_version: str = ""
    tenant: str = ""


class Provider(Shape):
    """Who offers an agent."""

    organization: str = ""
    url: str = ""


class Skill(Shape):
    """One thing an agent does."""

    id: str
    name: str = ""
    description: str = ""
    tags: list[str] = []
    examples: list[str] = []


class Card(Shape):
    """An agent card. Skills are read one by one, so that a bad one takes no other along."""

    name: str
    version: str = ""
    provider: Provider | None = None
    supported_interfaces: list[Interface]
    skills: list[dict[str, Any]] = []


class Part(Shape):
    """One of `text`, `raw` (base64), `url` and `data` is set."""

    text: str | None = None
    raw: str | None = None
    url: str | None = None
    data: Any = None
    filename: str = ""
    media_type: str = ""


class Message(Shape):
    """What the agent says."""

    context_id: Id | None = None
    task_id: Id | None = None
    parts: list[Part] = []


class Artifact(Shape):
    """What a task made."""

    parts: list[Part] = []


class TaskState(StrEnum):
    """Where a task stands. No other word is taken, nor TASK_STATE_UNSPECIFIED."""

    SUBMITTED = "TASK_STATE_SUBMITTED"
    WORKING = "TASK_STATE_WORKING"
    COMPLETED = "TASK_STATE_COMPLETED"
    FAILED = "TASK_STATE_FAILED"
    CANCELED = "TASK_STATE_CANCELED"
    REJECTED = "TASK_STATE_REJECTED"
    INPUT_REQUIRED = "TASK_STATE_INPUT_REQUIRED"
    AUTH_REQUIRED = "TASK_STATE_AUTH_REQUIRED"

    @property
    def goes_on(self) -> bool:
        """Whether the agent still works at it."""
        return self in (TaskState.SUBMITTED, TaskState.WORKING)


class TaskStatus(Shape):
    """Where a task stands, and what the agent says of that."""

    state: Annotated[TaskState, Field(strict=False)]
    message: Message | None = None


class Task(Shape):
    """What an agent does for one or more messages."""

    id: Id
    context_id: Id | None = None
    status: TaskStatus
    artifacts: list[Artifact] = []


class Sent(Shape):
    """The answer to SendMessage: one of the two."""

    task: Task | None = None
    message: Message | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> "Sent":
        if (self.task is None) == (self.message is None):
            raise ValueError("neither a task nor a message, or both")
        return self
