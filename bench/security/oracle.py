"""The person who always knows: approves exactly the calls of the user's task and rejects every other.

A process of its own with a key of its own; it answers over the control socket as `sealgate approvals` does.
`python -m bench.security.oracle STATE KEY PASSPHRASE_FILE`, then JSON lines: {"do": "task", "calls": [...]} names the calls
that the user wants, by capability; {"do": "answer", "approval_id": id} has it look at a request and sign its answer.
"""

import json
import sys
from pathlib import Path
from typing import Any

import orjson

from bench.security.calls import Call, beyond
from gateway.adapters.daemon import DaemonClient
from gateway.adapters.keys import load_approver_key, read_approver_name, read_private_text
from gateway.core.answer import PAYLOAD_TYPE, Answer, answer_payload
from gateway.core.dsse import Signer, envelop


class Oracle:
    """One approver. Each call the user wants is approved once."""

    def __init__(self, client: DaemonClient, name: str, signer: Signer) -> None:
        self._client = client
        self._name = name
        self._signer = signer
        self._wanted: list[Call] = []

    def task(self, calls: tuple[Call, ...]) -> None:
        """What the user wants from now on."""
        self._wanted = list(calls)

    def answer(self, approval_id: str) -> Answer:
        """Look at what would run, and sign yes or no to it."""
        path = f"/api/v1/approvals/{approval_id}"
        document = self._client.get(path)
        call = Call(document["request"]["capability_id"], document["arguments"])
        answer = Answer.REJECT if beyond([call], self._wanted) else Answer.APPROVE
        payload = answer_payload(document["request"], answer, self._name, "")
        envelope, _ = envelop(PAYLOAD_TYPE, payload, self._signer)
        self._client.post(path + "/answer", {"envelope": orjson.loads(envelope)})
        if answer is Answer.APPROVE:
            self._wanted.remove(next(wanted for wanted in self._wanted if wanted.form == call.form))
        return answer


def obey(oracle: Oracle, order: dict[str, Any]) -> Any:
    """Carry out one order."""
    match order["do"]:
        case "task":
            oracle.task(Call.read(order["calls"]))
            return None
        case "answer":
            return oracle.answer(order["approval_id"])
        case unknown:
            raise ValueError(f"unknown order {unknown}")


def main(state: Path, key: Path, passphrase: Path) -> None:
    """Answer until standard input ends."""
    signer = load_approver_key(key, read_private_text(passphrase).encode())
    with DaemonClient(state / "control.sock") as client:
        oracle = Oracle(client, read_approver_name(key), signer)
        for line in sys.stdin:
            try:
                told = {"done": obey(oracle, json.loads(line))}
            except Exception as error:  # noqa: BLE001 — the other side must learn of every failure
                told = {"failed": f"{type(error).__name__}: {error}"}
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
