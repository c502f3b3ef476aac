"""One office for all of these tests."""

from collections.abc import Iterator

import pytest

from tests.api.office import Office, office_in
from tests.approvals.people import Person
from tests.running import ModernClient


@pytest.fixture(scope="session")
def alice(tmp_path_factory: pytest.TempPathFactory) -> Person:
    return Person.make(tmp_path_factory.mktemp("alice"), "user:alice")


@pytest.fixture(scope="package")
def office(alice: Person, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with office_in(tmp_path_factory.mktemp("office"), alice) as office:
        yield office


@pytest.fixture
def client(office: Office) -> Iterator[ModernClient]:
    """The agent."""
    with ModernClient(office.gateway) as client:
        yield client
