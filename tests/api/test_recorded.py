"""Who changed what over HTTP: the entry that it causes names them, and so does the gateway's own log."""

import json
import socket
from contextlib import suppress
from typing import Any

from gateway.core.obligations import Route
from tests.api.office import Office
from tests.approvals.people import ask
from tests.approvals.test_webhook import signed
from tests.edge.shop import lose
from tests.running import ModernClient, outcome


def newest(office: Office, kind: str) -> dict[str, Any]:
    """The last entry of this kind."""
    found = [dict(entry.predicate) for entry in office.box.entries() if entry.kind.value == kind]
    return found[-1]


def lines(office: Office, what: str) -> list[dict[str, Any]]:
    """What the gateway's own log says of requests that change something."""
    told = [json.loads(line) for line in office.gateway.output.splitlines() if '"api_request"' in line]
    return [line for line in told if line["what"] == what]


def test_a_pin_names_who_approved_the_tool(office: Office) -> None:
    assert newest(office, "pin")["pin"]["by"] == "user:admin"
    (line,) = [line for line in lines(office, "POST /api/v1/tools/approve") if line["status"] == 200][:1]
    assert line["by"] == "user:admin"


def test_policies_that_are_put_in_force_name_who_wanted_it(office: Office) -> None:
    office.post("/api/v1/policy/reload", {})
    told = newest(office, "policy")["policy"]
    assert (told["event"], told["by"]) == ("reloaded", "user:admin")
    assert office.gateway.run("policy", "reload").returncode == 0
    assert newest(office, "policy")["policy"]["by"] == "operator"


def test_a_verdict_is_its_callers_own_word(office: Office, client: ModernClient) -> None:
    path = f"/api/v1/runs/{lose(client, 'hang-word')}/resolve"
    said = {"verdict": "failed", "reason": "looked"}
    assert office.refusal("POST", path, body={**said, "by": "user:somebody"}) == (422, "request.invalid")
    office.post(path, said)
    assert newest(office, "resolution")["resolution"]["by"] == "user:admin"


def test_a_request_that_is_taken_back_names_by_whom(office: Office, client: ModernClient) -> None:
    made = ask(client, "taken back")
    office.post(f"/api/v1/approvals/{made}/revoke", {})
    told = newest(office, "approval")
    assert (told["event"], told["by"]) == ("void", "user:admin")
    assert ask(client, "taken back") != made


def test_an_approval_is_the_approvers_signature_and_no_token(office: Office, client: ModernClient) -> None:
    """Who hands it in is told by the log of the gateway; who approved, by the entry."""
    made = ask(client, "signed")
    request = office.get(f"/api/v1/approvals/{made}", "approver")["request"]
    path = f"/api/v1/approvals/{made}/answer"
    for unsigned in ({}, {"payload": "e30=", "signatures": []}, signed(office.alice, request, route=Route.CLI)["envelope"]):
        status, code = office.refusal("POST", path, "approver", body={"envelope": unsigned})
        assert (status, code.partition(".")[0]) == (409, "approval")
    assert ask(client, "signed") == made
    office.post(path, signed(office.alice, request), "approver")
    told = newest(office, "approval")
    assert (told["event"], told["approver"], told["route"]) == ("approved", "user:alice", "webhook")
    assert lines(office, "POST /api/v1/approvals/{id}/answer")[-1]["by"] == "user:approver"
    assert outcome(client.call("box__drop", {"text": "signed"})) == {"outcome": "completed"}


def test_who_may_not_see_arguments_sees_nothing_that_quotes_them(office: Office, client: ModernClient) -> None:
    made = ask(client, "canary-4711")
    for role in ("auditor", "admin"):
        answer = office.ask("GET", "/api/v1/approvals?all=true", role)
        (listed,) = [one for one in answer.json()["approvals"] if one["request"]["approval_id"] == made]
        assert "canary-4711" not in answer.text
        assert {reason["message"] for reason in listed["request"]["reasons"]} == {""}
        assert listed["hidden"] == []
        assert office.refusal("GET", f"/api/v1/approvals/{made}", role) == (403, "role.missing")
    (listed,) = [
        one for one in office.get("/api/v1/approvals", "approver")["approvals"] if one["request"]["approval_id"] == made
    ]
    assert all(reason["message"] for reason in listed["request"]["reasons"])
    assert office.get(f"/api/v1/approvals/{made}", "approver")["arguments"] == {"text": "canary-4711"}


def test_a_refused_change_is_in_the_gateways_log_too_and_reading_is_not(office: Office) -> None:
    before = len(lines(office, "POST /api/v1/policy/rollback"))
    office.refusal("POST", "/api/v1/policy/rollback", "auditor", body={"revision": None})
    office.get("/api/v1/status", "auditor")
    told = lines(office, "POST /api/v1/policy/rollback")[before:]
    assert [(line["by"], line["status"]) for line in told] == [("user:auditor", 403)]
    assert lines(office, "GET /api/v1/status") == []


def test_a_key_that_is_revoked_names_who_wanted_that_and_counts_no_more(office: Office) -> None:
    made = office.gateway.json("keys", "api", "new", "--principal", "service:billing", "--role", "auditor")
    bearer = {"Authorization": f"Bearer {made['key']}"}
    assert office.ask("GET", "/api/v1/status", None, **bearer).status_code == 200
    assert made["key"] not in office.ask("GET", "/api/v1/keys", "auditor").text
    assert office.run("admin", "keys", "api", "revoke", made["id"]).code == 0
    assert office.refusal("GET", "/api/v1/status", None, **bearer) == (401, "login.needed")
    told = newest(office, "credential")["credential"]
    assert (told["event"], told["id"], told["by"]) == ("revoked", made["id"], "user:admin")


def test_what_was_half_sent_when_its_key_was_revoked_changes_nothing(office: Office) -> None:
    leaver = office.gateway.json("keys", "api", "new", "--principal", "user:leaver", "--role", "admin")
    other = office.gateway.json("keys", "api", "new", "--principal", "service:billing", "--role", "auditor")
    head = (
        f"POST /api/v1/keys/{other['id']}/revoke HTTP/1.1\r\nHost: 127.0.0.1:{office.gateway.port}\r\n"
        f"Authorization: Bearer {leaver['key']}\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{"
    ).encode()
    with socket.create_connection(("127.0.0.1", office.gateway.port), timeout=20) as connection:
        connection.sendall(head)
        office.get("/api/v1/status")  # the gateway has seen the other one's beginning by then
        assert office.run("admin", "keys", "api", "revoke", leaver["id"]).code == 0
        with suppress(OSError):
            connection.sendall(b"}")
        assert b" 401 " in connection.recv(4096).partition(b"\r\n")[0]
    listed = {one["id"]: one["state"] for one in office.get("/api/v1/keys")["keys"]}
    assert (listed[leaver["id"]], listed[other["id"]]) == ("revoked", "valid")
