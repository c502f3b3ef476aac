"""The person in the demo: another process, with its own key, that looks at one refund and approves it.

It uses nothing but the `sealgate` command, as a person in a terminal would.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_SECONDS = 90
MOST_CENTS = 1_000


def sealgate(*arguments: str) -> str:
    command = [sys.executable, "-m", "gateway", *arguments, "--state", str(ROOT / ".sealgate")]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def waiting_refund() -> dict[str, Any] | None:
    for item in json.loads(sealgate("approvals", "list", "--json"))["approvals"]:
        if item["request"]["capability_id"] == "desk__refund":
            shown: dict[str, Any] = json.loads(sealgate("approvals", "show", item["request"]["approval_id"], "--json"))
            return shown
    return None


def main() -> int:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (asked := waiting_refund()) is None:
        if time.monotonic() > deadline:
            return 1
        time.sleep(1)
    approval_id, arguments = asked["request"]["approval_id"], asked["arguments"]
    print(f"   [approver] sees {approval_id}: refund {json.dumps(arguments)}", flush=True)
    verb = "approve" if arguments["amount_cents"] <= MOST_CENTS else "reject"
    print(f"   [approver] $ sealgate approvals {verb} {approval_id}    (asks for the key's passphrase)", flush=True)
    sealgate("approvals", verb, approval_id, "--yes", "--comment", "checked against the parcel's tracking")
    return 0


if __name__ == "__main__":
    sys.exit(main())
