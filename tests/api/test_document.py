"""The OpenAPI document is a valid one, and every answer of every operation is what it says, with nothing left out."""

import json
from typing import Any

import jsonschema_rs
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.adapters.keys import load_approver_key
from gateway.core.answer import PAYLOAD_TYPE, Answer, answer_payload
from gateway.core.dsse import envelop
from gateway.core.obligations import Route
from tests.api.office import Office
from tests.approvals.people import ask
from tests.approvals.test_webhook import signed
from tests.edge.shop import lose
from tests.running import ModernClient


@pytest.fixture(scope="module")
def document(office: Office) -> Any:
    return office.get("/api/v1/openapi.json", "agent")


def test_it_is_a_valid_document_of_openapi_3_1(document: Any) -> None:
    assert document["openapi"] == "3.1.0"
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_it_tells_nothing_of_what_is_not_for_the_network(document: Any) -> None:
    text = json.dumps(document)
    for word in ("erasure", "policy/inputs", "policy/source", "/values", "StoredValues", "ErasureOrder", '"by"'):
        assert word not in text


def test_every_operation_wants_a_token_and_refuses_in_one_shape(document: Any) -> None:
    assert document["security"] == [{"token": []}]
    for operations in document["paths"].values():
        for operation in operations.values():
            assert "security" not in operation
            assert {"401", "403", "422", "503"} <= operation["responses"].keys()
    for response in document["components"]["responses"].values():
        assert response["content"] == {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}


class Checked:
    """Makes requests, and holds each answer against the document: a member that is not in it fails, too."""

    def __init__(self, office: Office, document: Any) -> None:
        self._office = office
        self._document = document
        self._strict = _closed(document)
        self.seen: set[tuple[str, str, str]] = set()

    def __call__(self, method: str, template: str, role: str = "admin", body: Any = None, **path: str) -> Any:
        """The document that comes back, or the text of what is none."""
        query = path.pop("query", "")
        answer = self._office.ask(method, template.format(**path) + query, role, body=body)
        operation = self._document["paths"][template][method.lower()]
        status = str(answer.status_code)
        response = operation["responses"].get(status)
        assert response is not None, (method, template, status, answer.text)
        response = self._document["components"]["responses"][status] if "$ref" in response else response
        kind = answer.headers["content-type"].partition(";")[0]
        content = response["content"][kind]
        self.seen.add((method, template, status))
        if kind != "application/json":
            return answer.text
        schema = {**self._strict, **_closed(content["schema"])}
        problems = [f"{error.instance_path}: {error.message}" for error in jsonschema_rs.iter_errors(schema, answer.json())]
        assert problems == [], (method, template, problems)
        return answer.json()


def _closed(schema: Any) -> Any:
    """The same, with no other members than those that are named."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _closed(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        found["additionalProperties"] = schema.get("title") == "OpenApiDocument"
    return found


@pytest.fixture
def checked(office: Office, document: Any) -> Checked:
    return Checked(office, document)


def test_every_answer_is_what_the_document_says(office: Office, checked: Checked, client: ModernClient) -> None:
    api = "/api/v1"
    key = office.gateway.json("keys", "api", "new", "--principal", "service:doc", "--expires", "90d")
    checked("POST", f"{api}/keys/{{id}}/revoke", body={}, id=key["id"])
    checked("POST", f"{api}/keys/{{id}}/revoke", body={}, id="no-such-key")
    for path in ("status", "keys", "tools", "approvers", "policy/history", "policy/shadow", "openapi.json"):
        checked("GET", f"{api}/{path}")
    for path in ("keys", "head", "entries", "checkpoints", "anchored", "checkpoint"):
        checked("GET", f"{api}/log/{path}")
    checked("GET", f"{api}/log/tile", query="?name=tile/entries/000.p/1")
    checked("GET", f"{api}/log/tile", query="?name=tile/5/000")
    checked("GET", f"{api}/log/checkpoint", query="?cosigned=true")
    (first,) = checked("GET", f"{api}/tool", query="?id=box__drop")["listed"]
    checked("POST", f"{api}/tools/approve", body={"tools": {"box__drop": first["digest"]}})
    checked("POST", f"{api}/tools/approve", body={"tools": {"box__hidden": "x"}})

    made = ask(client, "for the document")
    for role in ("approver", "auditor", "admin"):
        checked("GET", f"{api}/approvals", role, query="?all=true")
    shown = checked("GET", f"{api}/approvals/{{id}}", "approver", id=made)
    instead = checked("POST", f"{api}/approvals/{{id}}/modify", "approver", {"changes": {"/text": "less"}}, id=made)
    answer, revoke = f"{api}/approvals/{{id}}/answer", f"{api}/approvals/{{id}}/revoke"
    told = checked("POST", answer, "approver", _modify(office, shown["request"], instead["request"]), id=made)
    assert told["modified_into"] == instead["request"]["approval_id"]
    changed = told["modified_into"]
    checked("POST", answer, "approver", signed(office.alice, instead["request"], route=Route.CLI), id=changed)  # no
    checked("POST", answer, "approver", signed(office.alice, instead["request"]), id=changed)
    checked("GET", f"{api}/approvals", "approver", query="?all=true")
    checked("POST", revoke, body={}, id=changed)
    checked("POST", revoke, body={}, id=changed)

    envelopes = [lose(client, f"hang-doc-{number}") for number in range(2)]
    assert {one["envelope_id"] for one in checked("GET", f"{api}/runs/in-doubt")["in_doubt"]} >= set(envelopes)
    resolve, reconcile = f"{api}/runs/{{id}}/resolve", f"{api}/runs/{{id}}/reconcile"
    result = {"content": [{"type": "text", "text": "paid"}]}
    checked("POST", resolve, body={"verdict": "completed", "reason": "looked", "result": {"no": 1}}, id=envelopes[0])
    checked("POST", resolve, body={"verdict": "completed", "reason": "looked", "result": result}, id=envelopes[0])
    checked("POST", resolve, body={"verdict": "failed", "reason": "looked"}, id=envelopes[0])
    checked("POST", reconcile, body={}, id=envelopes[1])
    checked("POST", reconcile, body={}, id="no-such-call")

    checked("POST", f"{api}/policy/reload", body={})
    data = office.gateway.folder / "policies" / "data.json"
    settings = json.loads(data.read_text())
    settings["sealgate"]["settings"]["delegated_evidence"] = 0
    data.write_text(json.dumps(settings))
    checked("POST", f"{api}/policy/reload", body={})
    checked("POST", f"{api}/policy/rollback", body={"revision": None})
    checked("GET", f"{api}/status")
    checked("GET", f"{api}/policy/history")
    checked("POST", f"{api}/policy/rollback", body={"revision": "no such"})
    checked("POST", f"{api}/policy/reload", body={})

    documented = {(method.upper(), path) for path, operations in checked._document["paths"].items() for method in operations}
    assert {(method, path) for method, path, status in checked.seen if status == "200"} == documented


def _modify(office: Office, request: dict[str, Any], instead: dict[str, Any]) -> dict[str, Any]:
    """Alice's no with another question."""
    signer = load_approver_key(office.alice.key, office.alice.passphrase.read_bytes())
    payload = answer_payload(request, Answer.MODIFY, office.alice.principal, "", Route.WEBHOOK, into=instead)
    return {"envelope": json.loads(envelop(PAYLOAD_TYPE, payload, signer)[0])}
