"""The helper process in which regorus runs. It is started by its path and imports nothing of the gateway.

Why a process: nothing inside Python can stop an evaluation (regorus holds the GIL); a process can be killed.

Speaks over one inherited socket, in order, one answer per request. A frame is a 4-byte big-endian length, a kind of one
byte, and that many bytes:

* `L` {"modules": {name: text}, "data": {…}, "roots": [path], "entry_point": path} → `V` true: load a fresh engine
* `D` an input document → `V` the entry point's value
* `C` an input document → `V` {"value": the same, "covered": {module: [line]}}: with the lines that were evaluated
* `T` → `V` the paths of all test rules
* `R` a rule's path → `V` its value without an input
* any of them → `E` a text: what went wrong. Undefined is an error.

It ends when the socket does, and by an alarm when one request takes far too long, so that it never outlives the gateway.
"""

import json
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

import regorus

FRAME = struct.Struct(">Ic")
ALARM_SECONDS = 60.0  # the gateway's own deadlines come first; this one counts when the gateway is gone
MEMORY_BYTES = 4 << 30
UNDEFINED = '"<undefined>"'


class Evaluator:
    """One engine and the requests on it."""

    def __init__(self) -> None:
        self._engine = regorus.Engine()
        self._entry_point = ""

    def answer(self, kind: bytes, payload: bytes) -> str:
        """The JSON text that answers one request. Raises whatever the engine raises."""
        return self._requests[kind](self, payload)

    def _load(self, payload: bytes) -> str:
        self._engine = regorus.Engine()
        bundle = json.loads(payload)
        for name, text in bundle["modules"].items():
            self._engine.add_policy(name, text)
        for package in self._engine.get_packages():
            path = package.split(".")[1:]
            if not any(path[: len(root)] == root for root in map(_steps, bundle["roots"])):
                raise ValueError(f"the manifest's roots do not permit {package}")
            if _reaches(bundle["data"], path):  # regorus would let the data win over the rules
                raise ValueError(f"data.json gives a value to {package}, which is a package of rules")
        self._engine.add_data_json(json.dumps(bundle["data"]))
        self._entry_point = bundle["entry_point"]
        return "true"

    def _decide(self, payload: bytes) -> str:
        self._engine.set_input_json(payload.decode())
        return self._value(self._entry_point)

    def _decide_covered(self, payload: bytes) -> str:
        self._engine.set_enable_coverage(True)
        self._engine.clear_coverage_data()
        try:
            value = json.loads(self._decide(payload))
            report = json.loads(self._engine.get_coverage_report_as_json())
        finally:
            self._engine.set_enable_coverage(False)
        return json.dumps({"value": value, "covered": {file["path"]: file["covered"] for file in report["files"]}})

    def _test_rules(self, payload: bytes) -> str:
        return json.dumps(sorted(set(_test_rules(json.loads(self._engine.get_ast_as_json())))))

    def _rule(self, payload: bytes) -> str:
        return self._value(payload.decode())

    def _value(self, path: str) -> str:
        value: str = self._engine.eval_rule_as_json(path)
        if value == UNDEFINED:
            raise ValueError(f"{path} is undefined")
        return value

    _requests: dict[bytes, Callable[["Evaluator", bytes], str]] = {  # noqa: RUF012 - a constant table
        b"L": _load,
        b"D": _decide,
        b"C": _decide_covered,
        b"T": _test_rules,
        b"R": _rule,
    }


def _steps(root: str) -> list[str]:
    return root.split("/") if root else []


def _reaches(data: Any, path: list[str]) -> bool:
    """Whether `data` has a value at `path`, or one that is no object on the way."""
    for step in path:
        if not isinstance(data, dict):
            return True
        if step not in data:
            return False
        data = data[step]
    return True


def _test_rules(modules: list[dict[str, Any]]) -> Iterator[str]:
    """The paths of the rules called `test_…`, from regorus' syntax tree: text alone cannot tell them for sure."""
    for module in modules:
        package = ".".join(_reference(module["ast"]["package"]["refr"]))
        for rule in module["ast"]["rules"]:
            head = rule.get("Spec", {}).get("head", {})
            for form in head.values():
                name = _reference(form["refr"])
                if name[0].startswith("test_"):
                    yield f"data.{package}.{'.'.join(name)}"


def _reference(node: dict[str, Any]) -> list[str]:
    ((kind, value),) = node.items()
    if kind == "Var":
        return [value["value"]]
    if kind == "RefBrack":  # a[b]: what stands in the brackets is no part of the name
        return _reference(value["refr"])
    return [*_reference(value["refr"]), value["field"][1]]


def main(fd: int, alarm_seconds: float = ALARM_SECONDS, niceness: int = 0) -> None:
    """Answer requests until the other end closes, or one takes longer than `alarm_seconds`."""
    os.nice(niceness)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the default action ends the process even while regorus holds the GIL
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold arguments
    except (ValueError, OSError):
        pass  # not every system has these limits; the deadline still holds
    os.closerange(3, fd)  # uvloop leaves inheritable files open in what it starts
    os.closerange(fd + 1, max(fd + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0]))
    connection = socket.socket(fileno=fd)
    requests = connection.makefile("rb")
    evaluator = Evaluator()
    while len(header := requests.read(FRAME.size)) == FRAME.size:
        size, kind = FRAME.unpack(header)
        payload = requests.read(size)
        if len(payload) < size:
            return
        signal.setitimer(signal.ITIMER_REAL, alarm_seconds)
        ending = False
        try:
            status, answer = b"V", evaluator.answer(kind, payload)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's answer
            status, answer = b"E", _text(error)
        except BaseException as error:  # noqa: BLE001 - a panic inside regorus: its state is not to be trusted any more
            status, answer, ending = b"E", _text(error), True
        signal.setitimer(signal.ITIMER_REAL, 0)
        data = answer.encode()
        connection.sendall(FRAME.pack(len(data), status) + data)
        if ending:
            return


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".partition("\n\nStack backtrace")[0].strip()


if __name__ == "__main__":
    main(int(sys.argv[1]), niceness=int(sys.argv[2]))
