"""A process of ours imports its code without looking for garbage in it, and looks for garbage ever after."""

import gc
import subprocess
import sys

import pytest

from gateway.loading import loading
from tests.running import REPOSITORY


def test_the_collector_rests_while_code_is_loaded_and_no_longer() -> None:
    try:
        with loading():
            assert not gc.isenabled()
            made: list[object] = []
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0
        assert all(known is not made for known in gc.get_objects())
    finally:
        gc.unfreeze()


def test_code_that_cannot_be_loaded_leaves_the_collector_at_work() -> None:
    try:
        with pytest.raises(ImportError), loading():
            raise ImportError("no such module")
        assert gc.isenabled()
    finally:
        gc.unfreeze()


def test_the_command_has_its_code_out_of_the_collectors_way_and_the_collector_at_work() -> None:
    script = "import gc, gateway.__main__; print(gc.isenabled(), gc.get_freeze_count() > 50_000)"
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "True True\n"
