"""One gateway for the tests of a file that do not stop it."""

from collections.abc import Iterator

import pytest

from tests.flow.mail import Mail, mailing


@pytest.fixture(scope="module")
def mail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mail]:
    with mailing(tmp_path_factory.mktemp("flow")) as running:
        yield running
