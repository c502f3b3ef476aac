"""Whatever is wrong with a request, it is refused at once, with the status that fits and in the one shape."""

import socket

import pytest

from gateway.core import wire
from gateway.edge.api import BODY_SECONDS
from tests.api.office import Office

APPROVE = "/api/v1/tools/approve"
RESOLVE = "/api/v1/runs/no-such-call/resolve"


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1",
        "/api/v1/",
        "/api/v1/nothing",
        "/api/v1/tools/",
        "/api/v1//tools",
        "/api/v1/tools%0A",
        "/api/v1/approvals/",
        "/api/v1/log/tile/0/000",
        "/api/v1/calls",
        "/api/v1/%2e%2e/log/checkpoint",
        "/api/v1/" + "x" * 5000,
    ],
)
def test_what_is_not_there_is_404(office: Office, path: str) -> None:
    assert office.refusal("GET", path) == (404, "request.unknown")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_another_method_is_405_and_told_which(office: Office, method: str) -> None:
    answer = office.ask(method, "/api/v1/tools")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")
    answer = office.ask(method, APPROVE)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert office.ask("POST", "/api/v1/tools").status_code == 405
    assert office.ask("GET", APPROVE).status_code == 405


def test_head_is_get_without_the_body(office: Office) -> None:
    answer = office.ask("HEAD", "/api/v1/tools")
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"", "application/json")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "request.malformed"),
        (b"{", 400, "request.malformed"),
        (b"\xff", 400, "request.malformed"),
        (b'{"tools": {}, "tools": {}}', 400, "request.malformed"),
        (b'{"tools": {"a": 1e999}}', 400, "request.malformed"),
        (b'{"tools": 9007199254740993}', 400, "request.malformed"),
        (b'{"tools": ' + b"[" * 65 + b"]" * 65 + b"}", 400, "request.malformed"),
        (b'{"tools": "\\ud800"}', 400, "request.malformed"),
        (b'{"tools": {}, "' + b"x" * wire.MAX_BYTES + b'": 1}', 413, "request.too_large"),
        (b"[]", 422, "request.invalid"),
        (b"null", 422, "request.invalid"),
        (b"{}", 422, "request.invalid"),
        (b'{"tools": []}', 422, "request.invalid"),
        (b'{"tools": {"a": 1}}', 422, "request.invalid"),
        (b'{"tools": {}, "by": "me"}', 422, "request.invalid"),
    ],
    ids=lambda value: value[:24] if isinstance(value, bytes) else value,
)
def test_a_body_that_is_not_what_is_taken_is_refused(office: Office, body: bytes, status: int, code: str) -> None:
    assert office.refusal("POST", APPROVE, body=body) == (status, code)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""])
def test_a_body_of_another_type_is_415(office: Office, kind: str) -> None:
    assert office.refusal("POST", APPROVE, body=b"{}", **{"Content-Type": kind}) == (415, "request.media_type")


@pytest.mark.parametrize(
    "query",
    [
        "start=-1",
        "start=+1",
        "start=1.0",
        "start=1_0",
        "start=",
        "start=%201",
        "start=9999999999999999999999",
        "start=\u0661",
        "limit=0",
        "limit=1001",
        "start=0&start=1",
        "begin=0",
        "naming=" + "x" * 4097,
        "start=0&" + "x" * 5000,
    ],
)
def test_a_query_that_is_not_what_is_taken_is_422(office: Office, query: str) -> None:
    assert office.refusal("GET", f"/api/v1/log/entries?{query}") == (422, "request.invalid")


@pytest.mark.parametrize("query", ["all=1", "all=True", "all=", "all", "all=true&all=true"])
def test_a_truth_value_is_true_or_false(office: Office, query: str) -> None:
    assert office.refusal("GET", f"/api/v1/approvals?{query}") == (422, "request.invalid")


@pytest.mark.parametrize("path", ["/api/v1/tools?x=1", "/api/v1/log/head?start=0", "/api/v1/status?"])
def test_what_takes_no_query_refuses_one(office: Office, path: str) -> None:
    assert office.ask("GET", path).status_code == (200 if path.endswith("?") else 422)


def test_a_refusal_names_the_place_and_quotes_no_value(office: Office) -> None:
    secret = "hunter2hunter2"
    for body in ({"verdict": secret, "reason": "r"}, {"verdict": "failed", "reason": "r", "result": 1, "by": [secret]}):
        answer = office.ask("POST", RESOLVE, body=body)
        assert answer.status_code == 422
        assert secret not in answer.text
    assert "body verdict" in office.ask("POST", RESOLVE, body={"verdict": 1, "reason": "r"}).json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "role", "body", "status", "code"),
    [
        ("GET", "/api/v1/tool?id=no__tool", "auditor", None, 404, "tool.unknown"),
        ("GET", "/api/v1/approvals/no-such", "approver", None, 404, "approval.unknown"),
        ("POST", "/api/v1/approvals/no-such/answer", "approver", {"envelope": {}}, 404, "approval.unknown"),
        ("POST", "/api/v1/approvals/no-such/revoke", "admin", {}, 404, "approval.unknown"),
        ("POST", "/api/v1/approvals/no-such/modify", "approver", {"changes": {"/a": 1}}, 404, "approval.unknown"),
        ("POST", "/api/v1/approvals/no-such/modify", "approver", {"changes": {"a": 1}}, 422, "request.invalid"),
        ("POST", RESOLVE, "admin", {"verdict": "failed", "reason": "looked"}, 404, "resolution.unknown"),
        ("POST", RESOLVE, "admin", {"verdict": "failed", "reason": "  "}, 422, "request.invalid"),
        ("POST", "/api/v1/runs/no-such/reconcile", "admin", {}, 404, "resolution.unknown"),
        ("POST", "/api/v1/tools/approve", "admin", {"tools": {"no__tool": "x"}}, 404, "tool.unknown"),
        ("POST", "/api/v1/policy/rollback", "admin", {"revision": "no such"}, 409, "policy.not_kept"),
        ("GET", "/api/v1/log/tile?name=tile/0/x999/999", "auditor", None, 404, "log.too_short"),
        ("GET", "/api/v1/log/tile?name=tile/0/x000/000", "auditor", None, 404, "log.too_short"),
        ("GET", "/api/v1/log/tile?name=../keys/log.pem", "auditor", None, 422, "request.invalid"),
        ("GET", "/api/v1/log/checkpoint?cosigned=true", "auditor", None, 404, "log.no_checkpoint"),
    ],
)
def test_a_request_that_does_not_fit_gets_the_status_that_says_so(
    office: Office, method: str, path: str, role: str, body: object, status: int, code: str
) -> None:
    assert office.refusal(method, path, role, body=body) == (status, code)


def test_no_answer_is_for_caches(office: Office) -> None:
    for answer in (office.ask("GET", "/api/v1/tools"), office.ask("GET", "/api/v1/nothing")):
        assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == ("no-store", "nosniff")


@pytest.mark.long
def test_a_body_that_does_not_come_is_not_waited_for_and_one_that_breaks_off_is_no_fault(office: Office) -> None:
    head = (
        f"POST {APPROVE} HTTP/1.1\r\nHost: 127.0.0.1:{office.gateway.port}\r\nAuthorization: Bearer admin-token\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    ).encode()
    for patience in (0.0, BODY_SECONDS + 10):
        with socket.create_connection(("127.0.0.1", office.gateway.port)) as connection:
            connection.sendall(head)
            if patience:
                connection.settimeout(patience)
                assert b" 408 " in connection.recv(4096).partition(b"\r\n")[0]
    assert office.box.faults() == []
