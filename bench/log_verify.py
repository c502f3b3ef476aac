"""Verifies one log in a process of its own, so that its peak memory is known: python -m bench.log_verify JOURNAL PUBLIC.

Prints JSON: entries, cpu_seconds, base_kib (memory in use before it began), peak_kib, problems.
"""

import json
import resource
import sys
import time
from pathlib import Path

from gateway.adapters.keys import load_trusted_keys
from gateway.adapters.store.sqlite.reader import SqliteLog
from gateway.core.verify import verify_log


def main(journal: Path, public: Path) -> None:
    """Verify as `sealgate log verify` does, and print what it took."""
    keys = load_trusted_keys(public)
    log = SqliteLog(journal)
    base = _peak_kib()
    started = time.process_time()
    report = verify_log(log.entries(), log.checkpoints(), keys, head=log.head(), snapshot=True)
    spent = time.process_time() - started
    log.close()
    told = {
        "entries": report.size,
        "cpu_seconds": spent,
        "base_kib": base,
        "peak_kib": _peak_kib(),
        "problems": report.problems,
    }
    print(json.dumps(told))


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
