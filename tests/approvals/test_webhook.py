"""Requests are POSTed to receivers outside, and come back signed by an approver: in the response, or later at the port."""

import asyncio
import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import apsw
import httpx2
import orjson
import pytest

from gateway.adapters.clock import SystemClock
from gateway.adapters.keys import load_approver_key, make_keys, write_private_text
from gateway.adapters.webhooks import MAX_AT_ONCE, TIMEOUT_SECONDS, Hook, Webhooks
from gateway.core.answer import PAYLOAD_TYPE, Answer, SignedAnswer, answer_payload, request_digest
from gateway.core.approval import ApprovalRow, ApprovalState
from gateway.core.dsse import envelop
from gateway.core.obligations import Route
from gateway.core.offers import MOST, MOST_OF_A_REQUEST
from gateway.core.outcome import Reason
from tests.approvals import till
from tests.approvals.people import Person, ask
from tests.approvals.test_answers import about
from tests.approvals.test_delegation import ServingGateway
from tests.core.calls import Call, ask_for, seal
from tests.edge.box import Box, boxed, configured
from tests.running import ModernClient, free_port, outcome, until

SECRET = base64.b64encode(bytes(range(32))).decode()
APPROVER_TOKEN = "approver-token"
OTHER_TOKEN = "token-of-another-desk"
OWN_TOKEN = "token-of-the-principal"


@dataclass
class Receiver:
    """A program of the operator's that takes requests. `reply` makes status and body of a request's document."""

    reply: Callable[[dict[str, Any]], tuple[int, bytes]] = lambda document: (204, b"")
    seen: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hunter3?key=hunter2"

    def documents(self, text: str) -> list[dict[str, Any]]:
        """What came about the call with this text."""
        found = [json.loads(body)["data"] for _, body in self.seen]
        return [document for document in found if document["arguments"]["text"] == text]

    def __enter__(self) -> "Receiver":
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.seen.append(({name.lower(): value for name, value in self.headers.items()}, body))
                status, told = receiver.reply(json.loads(body)["data"])
                self.send_response(status)
                if status == 307:
                    self.send_header("Location", f"http://127.0.0.1:{receiver.port}/elsewhere")
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def signed(person: Person, request: dict[str, Any], answer: Answer = Answer.APPROVE, route: Route = Route.WEBHOOK) -> Any:
    """The approver's answer as a receiver sends it."""
    signer = load_approver_key(person.key, person.passphrase.read_bytes())
    payload = answer_payload(request, answer, person.principal, "", route)
    return {"envelope": json.loads(envelop(PAYLOAD_TYPE, payload, signer)[0])}


def answering(make: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], tuple[int, bytes]]:
    """A reply with what `make` makes of the request."""
    return lambda document: (200, json.dumps(make(document["request"])).encode())


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture(scope="module")
def box(receiver: Receiver, alice: Person, actor: Person, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    folder = tmp_path_factory.mktemp("webhook")
    write_private_text(folder / "hook.secret", f"whsec_{SECRET}")
    more = f'approvals: {{webhooks: [{{url: "{receiver.url}", secret_file: hook.secret}}]}}\napprovers:\n'
    with boxed(folder, more + alice.listed() + actor.listed()) as running:
        yield running
        running.assert_sound()
        assert "hunter" not in running.gateway.output


def test_a_receiver_answers_in_its_response(box: Box, client: ModernClient, receiver: Receiver, alice: Person) -> None:
    receiver.reply = answering(lambda request: signed(alice, request))
    approval_id = ask(client, "hook yes")
    until(lambda: box.json("approvals", "show", approval_id)["state"] == "approved", what="the answer")
    done = client.call("box__drop", {"text": "hook yes"})
    assert outcome(done) == {"outcome": "completed"}
    told = box.entry(done["result"]["_meta"]["dev.sealgate/receipt"]).predicate["approval"]
    assert (told["route"], told["approver"]) == ("webhook", "user:alice")
    assert about(box, approval_id)[-1].predicate["route"] == "webhook"
    assert box.lines("rows").count("drop hook yes") == 1


def test_a_request_is_sent_signed_and_says_all_there_is_to_see(box: Box, client: ModernClient, receiver: Receiver) -> None:
    receiver.reply = lambda document: (204, b"")
    approval_id = ask(client, "look \u202e at it")
    until(lambda: receiver.documents("look \u202e at it"), what="the delivery")
    headers, body = receiver.seen[-1]
    covered = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(base64.b64decode(SECRET), covered, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["webhook-id"] == approval_id
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    (document,) = receiver.documents("look \u202e at it")
    assert document["request"] == box.json("approvals", "show", approval_id)["request"]
    assert document["request_digest"] == request_digest(document["request"])
    assert "look \\u202e at it" in document["shown"]
    assert document["shown"].isascii()


def test_a_failed_delivery_is_made_again_and_told(box: Box, client: ModernClient, receiver: Receiver, alice: Person) -> None:
    replies = iter([(500, b""), (307, b"")])
    receiver.reply = lambda document: next(replies, (200, json.dumps(signed(alice, document["request"])).encode()))
    approval_id = ask(client, "hook later")
    until(lambda: box.json("approvals", "show", approval_id)["state"] == "approved", what="the answer")
    assert len(receiver.documents("hook later")) == 3
    assert len({headers["webhook-id"] for headers, body in receiver.seen if b"hook later" in body}) == 1
    (hook,) = box.json("status")["webhooks"]
    assert hook["url"] == f"http://127.0.0.1:{receiver.port}"
    assert (hook["failed"] >= 2, hook["trouble"]) == (True, None)
    assert "HTTP 500" in box.gateway.output
    assert "HTTP 307" in box.gateway.output  # a redirect is not followed


def test_a_false_answer_of_a_receiver_approves_nothing(
    box: Box, client: ModernClient, receiver: Receiver, alice: Person, actor: Person, stranger: Person
) -> None:
    makes: list[Callable[[dict[str, Any]], Any]] = [
        lambda request: signed(stranger, request),
        lambda request: signed(actor, request),
        lambda request: signed(alice, request, route=Route.CLI),
        lambda request: signed(alice, {**request, "call_digest": "hmac-sha256:00"}),
        lambda request: {"envelope": "yes"},
        lambda request: ["approve"],
    ]
    for number, make in enumerate(makes):
        receiver.reply = answering(make)
        said = f"hook false {number}"
        approval_id = ask(client, said)
        until(partial(receiver.documents, said), what="the delivery")
        assert ask(client, said) == approval_id
        assert f"drop {said}" not in box.lines("rows")


def test_an_endless_answer_is_cut_off_and_approves_nothing(box: Box, client: ModernClient, receiver: Receiver) -> None:
    receiver.reply = lambda document: (200, b" " * 200_000)
    ask(client, "hook flood")
    until(lambda: "answers with more than" in str(box.json("status")["webhooks"][0]["trouble"]), what="the trouble")


def test_no_call_waits_for_a_receiver_that_is_gone(alice: Person, tmp_path: Path) -> None:
    write_private_text(tmp_path / "hook.secret", SECRET)
    url = f"http://127.0.0.1:{free_port()}/"
    more = f'approvals: {{webhooks: [{{url: "{url}", secret_file: hook.secret}}]}}\napprovers:\n{alice.listed()}'
    with boxed(tmp_path, more) as box, ModernClient(box.gateway) as client:
        began = time.monotonic()
        approval_id = ask(client, "gone")
        assert time.monotonic() - began < 5
        until(lambda: box.json("status")["webhooks"][0]["failed"] >= 1, what="the failure")
        assert alice.answers(box, "approve", approval_id).code == 0
        assert outcome(client.call("box__drop", {"text": "gone"})) == {"outcome": "completed"}


class Store:
    """Requests in memory. `looks` and `reads` go wrong first."""

    def __init__(self, *approval_ids: str, looks: Iterable[Exception] = (), reads: Iterable[Exception] = ()) -> None:
        request = ask_for(seal(Call()))
        self._rows = {
            one: ApprovalRow(replace(request, approval_id=one), "reservation", ApprovalState.PENDING, ())
            for one in approval_ids
        }
        self._looks, self._reads = iter(looks), iter(reads)
        self.answered = asyncio.Event()

    def pending(self) -> list[str]:
        for fault in self._looks:
            raise fault
        return list(self._rows)

    async def row(self, approval_id: str) -> tuple[ApprovalRow, bytes] | None:
        for fault in self._reads:
            raise fault
        return self._rows[approval_id], orjson.dumps({"text": approval_id})

    async def answer(self, approval_id: str, envelope: Mapping[str, Any], route: Route) -> SignedAnswer | Reason:
        self.answered.set()
        return Reason("approval.signature", "It does not count.")


@asynccontextmanager
async def delivering(store: Store, *receivers: Receiver) -> AsyncIterator[tuple[Hook, ...]]:
    hooks = tuple(Hook(one.url, b"s" * 32) for one in receivers)
    running = asyncio.ensure_future(Webhooks(hooks, store, SystemClock()).run())
    try:
        yield hooks
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.anyio
async def test_whatever_fails_in_the_store_the_delivery_is_made_later() -> None:
    reads = [apsw.BusyError("busy"), RuntimeError("unforeseen")]
    store = Store("a", looks=[apsw.BusyError("busy"), RuntimeError("unforeseen")], reads=reads)
    with Receiver(reply=lambda document: (200, b'{"envelope": {}}')) as receiver:
        async with delivering(store, receiver) as (hook,):
            with anyio.fail_after(30):
                await store.answered.wait()
    assert (len(receiver.seen), hook.delivered, hook.failed) == (1, 1, 2)


@pytest.mark.anyio
async def test_a_receiver_that_hangs_holds_up_no_other() -> None:
    free, names = threading.Event(), [f"call {number}" for number in range(3 * MAX_AT_ONCE)]

    def hang(document: dict[str, Any]) -> tuple[int, bytes]:
        free.wait(60)
        return 204, b""

    last = asyncio.Event()
    loop = asyncio.get_running_loop()

    def take(document: dict[str, Any]) -> tuple[int, bytes]:
        if len(quick.seen) == len(names):
            loop.call_soon_threadsafe(last.set)
        return 204, b""

    quick = Receiver(reply=take)
    with Receiver(reply=hang) as hanging, quick:
        try:
            async with delivering(Store(*names), hanging, quick):
                with anyio.fail_after(0.8 * TIMEOUT_SECONDS):  # before the first that hangs is given up
                    await last.wait()
                    while len(hanging.seen) < MAX_AT_ONCE:  # noqa: ASYNC110 - its threads set no event here
                        await asyncio.sleep(0.01)
        finally:
            free.set()
    assert len(hanging.seen) == MAX_AT_ONCE


def test_after_a_restart_what_still_waits_is_sent_again(alice: Person, tmp_path: Path) -> None:
    write_private_text(tmp_path / "hook.secret", SECRET)
    with Receiver() as receiver:
        more = f'approvals: {{webhooks: [{{url: "{receiver.url}", secret_file: hook.secret}}]}}\napprovers:\n'
        with boxed(tmp_path, more + alice.listed()) as box:
            with ModernClient(box.gateway) as client:
                ask(client, "again")
            until(lambda: receiver.documents("again"), what="the delivery")
            box.gateway.stop()
            box.gateway.start()
            until(lambda: len(receiver.documents("again")) == 2, what="the delivery after the restart")


@pytest.mark.parametrize("secret", ["", "whsec_c2hvcnQ="])
def test_a_secret_that_is_none_ends_the_start(tmp_path: Path, secret: str) -> None:
    write_private_text(tmp_path / "hook.secret", secret)
    more = 'approvals: {webhooks: [{url: "http://127.0.0.1:1/", secret_file: hook.secret}]}'
    with pytest.raises(AssertionError, match="webhook secret"), boxed(tmp_path, more):
        pass


# --- answers that come later, over the gateway's port ---


@pytest.fixture(scope="module")
def desk(alice: Person, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A gateway for an agent, two desks of approvers, and the agent's principal, who has the role approver, too."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "box").mkdir()
    callers = "".join(
        f'  - {{principal: "{principal}", actors: ["agent:a"], roles: [{role}], '
        f"token_sha256: {hashlib.sha256(token.encode()).hexdigest()}}}\n"
        for principal, role, token in (
            ("user:ada", "agent", "delegated"),
            ("service:desk", "approver", APPROVER_TOKEN),
            ("service:other", "approver", OTHER_TOKEN),
            ("user:ada", "approver", OWN_TOKEN),
        )
    )
    gateway = ServingGateway(folder, verb="serve")
    gateway.configure(configured(folder / "box", f"callers:\n{callers}approvers:\n{alice.listed()}"))
    make_keys(gateway.state / "keys", origin="sealgate.local/default", dev=False)
    with gateway:
        running = Box(gateway, folder / "box")
        assert running.run("tools", "approve", "--all", "--yes").code == 0
        yield running
        running.assert_sound()


def over_http(box: Box, method: str, path: str, body: Any = None, token: str = APPROVER_TOKEN) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    url = f"http://127.0.0.1:{box.gateway.port}{path}"
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx2.request(method, url, headers=headers, content=None if body is None else content, timeout=10)


def test_an_answer_may_come_later_over_the_port(desk: Box, alice: Person) -> None:
    with ModernClient(desk.gateway) as client:
        approval_id = ask(client, "desk")
        (listed,) = over_http(desk, "GET", "/approvals").json()["approvals"]
        shown = over_http(desk, "GET", f"/approvals/{approval_id}").json()
        assert listed["request"] == shown["request"]
        assert shown["arguments"] == {"text": "desk"}
        path = f"/approvals/{approval_id}/answer"
        for wrong, status in (
            (signed(alice, shown["request"], route=Route.CLI), 409),
            (signed(alice, {**shown["request"], "mode": "read_only"}), 409),
            ({"envelope": []}, 400),
            ([], 400),
            (b"{", 400),
            (b" " * 100_000, 400),
        ):
            assert over_http(desk, "POST", path, wrong).status_code == status
        assert ask(client, "desk") == approval_id
        taken = over_http(desk, "POST", path, signed(alice, shown["request"]))
        assert (taken.status_code, taken.json()["approver"]) == (200, "user:alice")
        assert over_http(desk, "POST", path, signed(alice, shown["request"])).status_code == 409
        assert outcome(client.call("box__drop", {"text": "desk"})) == {"outcome": "completed"}
    assert desk.lines("rows").count("drop desk") == 1


def test_a_call_may_be_changed_over_the_port(desk: Box, alice: Person) -> None:
    with ModernClient(desk.gateway) as client:
        approval_id = ask(client, "to change")
        path = f"/approvals/{approval_id}"
        made = over_http(desk, "GET", path).json()["request"]
        wrongs: list[Any] = [
            {"changes": {}},
            {"changes": {"/other": 1}},
            {"changes": {"/text": 1}},
            [],
            b"{",
            b" " * 100_000,
        ]
        for wrong in wrongs:
            refused = over_http(desk, "POST", f"{path}/modify", wrong)
            assert (refused.status_code, refused.json()["error"]) == (409, "approval.change")
        offered = over_http(desk, "POST", f"{path}/modify", {"changes": {"/text": "changed"}}).json()
        assert offered["arguments"] == {"text": "changed"}
        assert offered["request_digest"] == request_digest(offered["request"])
        by_line = till.signed(alice, made, offered["request"])
        assert over_http(desk, "POST", f"{path}/answer", {"envelope": by_line}).status_code == 409
        envelope = till.signed(alice, made, offered["request"], route=Route.WEBHOOK)
        assert over_http(desk, "POST", f"{path}/answer", {"envelope": envelope}).status_code == 200
        changed_id = offered["request"]["approval_id"]
        assert ask(client, "to change") == changed_id
        yes = signed(alice, offered["request"])
        assert over_http(desk, "POST", f"/approvals/{changed_id}/answer", yes).status_code == 200
        assert outcome(client.call("box__drop", {"text": "to change"})) == {"outcome": "completed"}
    assert [row for row in desk.lines("rows") if row.startswith("drop ") and "change" in row] == ["drop changed"]


def test_who_has_no_key_cannot_crowd_out_a_change_that_another_desk_asked_for(desk: Box, alice: Person) -> None:
    with ModernClient(desk.gateway) as client:
        ids = [ask(client, f"crowded {number}") for number in range(1 + MOST // MOST_OF_A_REQUEST)]
        path = f"/approvals/{ids[0]}"
        made = over_http(desk, "GET", path).json()["request"]
        offered = over_http(desk, "POST", f"{path}/modify", {"changes": {"/text": "wanted"}}).json()["request"]
        for approval_id in ids:
            for number in range(MOST_OF_A_REQUEST + 1):
                change = {"changes": {"/text": f"crowd {number}"}}
                told = over_http(desk, "POST", f"/approvals/{approval_id}/modify", change, OTHER_TOKEN)
                assert told.status_code == 200
        envelope = till.signed(alice, made, offered, route=Route.WEBHOOK)
        assert over_http(desk, "POST", f"{path}/answer", {"envelope": envelope}).status_code == 200


def test_who_could_not_answer_is_offered_no_change(desk: Box) -> None:
    with ModernClient(desk.gateway) as client:
        approval_id = ask(client, "my own")
        change = {"changes": {"/text": "better"}}
        refused = over_http(desk, "POST", f"/approvals/{approval_id}/modify", change, OWN_TOKEN)
        assert (refused.status_code, refused.json()["error"]) == (409, "approval.self")
        assert ask(client, "my own") == approval_id


def test_only_the_role_approver_gets_there(desk: Box) -> None:
    for token, status in (("delegated", 403), ("wrong", 401)):
        for method, path in (
            ("GET", "/approvals"),
            ("GET", "/approvals/x"),
            ("POST", "/approvals/x/answer"),
            ("POST", "/approvals/x/modify"),
        ):
            assert over_http(desk, method, path, {} if method == "POST" else None, token).status_code == status
    assert over_http(desk, "GET", "/approvals/x").status_code == 404
    assert over_http(desk, "POST", "/approvals/x/answer", {"envelope": {}}).status_code == 404
    with ModernClient(desk.gateway, token=APPROVER_TOKEN) as client:
        refused = outcome(client.call("box__echo", {"text": "x"}))
        assert refused == {"outcome": "denied", "reasons": ["subject.not_agent"]}


@pytest.mark.long
def test_more_than_a_person_could_answer_is_refused(desk: Box) -> None:
    found = [over_http(desk, "GET", "/approvals").status_code for _ in range(130)]
    assert found[-1] == 429
    assert found[0] == 200
