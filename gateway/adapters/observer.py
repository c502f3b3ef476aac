"""Observers of the pipeline's steps."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext


class NoObserver:
    """Looks away."""

    def step(self, name: str) -> AbstractContextManager[None]:
        return _NOTHING


class Timings:
    """Adds up wall time per step, in seconds, and counts; for the benchmark."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.counts: dict[str, int] = defaultdict(int)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure one step."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - started
            self.counts[name] += 1


_NOTHING: AbstractContextManager[None] = nullcontext()
