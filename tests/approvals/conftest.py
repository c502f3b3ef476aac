"""One gateway with three approvers: Alice, somebody it does not know, and the actor of every call itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.approvals.people import Person
from tests.edge.box import Box, boxed
from tests.running import ModernClient


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where keys lie."""
    return tmp_path_factory.mktemp("people")


@pytest.fixture(scope="session")
def alice(folder: Path) -> Person:
    return Person.make(folder, "user:alice")


@pytest.fixture(scope="session")
def bob(folder: Path) -> Person:
    return Person.make(folder, "user:bob")


@pytest.fixture(scope="session")
def stranger(folder: Path) -> Person:
    return Person.make(folder, "user:stranger")


@pytest.fixture(scope="session")
def actor(folder: Path) -> Person:
    return Person.make(folder, "agent:dev-client")


@pytest.fixture(scope="session")
def box(alice: Person, actor: Person, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A running gateway that knows Alice's key and the actor's."""
    with boxed(tmp_path_factory.mktemp("approvals"), "approvers:\n" + alice.listed() + actor.listed()) as running:
        yield running
        running.assert_sound()


@pytest.fixture
def client(box: Box) -> Iterator[ModernClient]:
    with ModernClient(box.gateway) as client:
        yield client
