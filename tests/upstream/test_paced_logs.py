"""What an upstream does must not fill the gateway's log."""

import logging
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from gateway.edge import logs


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("sealgate.test-paced")
    logger.propagate = False
    logger.handlers[:] = [logs._ToStructlog()]
    yield logger
    logger.handlers[:] = []


def test_lines_that_begin_alike_are_dropped_and_counted(logger: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with capture_logs() as lines:
        for number in range(1_000):
            logger.error("x" * 80 + "%d", number)
        logger.error("another")
        assert len(lines) == logs.BURST + 1
        now += logs.WINDOW_SECONDS
        logger.error("much later")
    assert lines[-2]["dropped"] == 1_000 - logs.BURST
    assert lines[-2]["like"] == "x" * 80
    assert lines[-1]["event"] == "much later"


def test_what_is_remembered_is_bounded(logger: logging.Logger) -> None:
    with capture_logs() as lines:
        for number in range(3_000):
            logger.error("%d", number)
    assert len(lines) == logs.MAX_KEYS + logs.BURST
