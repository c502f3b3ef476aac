"""AgentDojo's suites, and how every tool of them is called so that it shows, or writes, all it can."""

import itertools
from collections.abc import Iterator
from typing import Any

from bench.security.audit import CANARY
from bench.security.calls import Call

ANY = ""
"""A search for it finds everything."""


def reads(suite: str, world: Any) -> Iterator[Call]:
    """Calls that between them return everything the reading tools can return of this world."""
    if suite == "banking":
        for tool in ("get_iban", "get_balance", "get_user_info", "get_scheduled_transactions"):
            yield Call(tool, {})
        yield Call("get_most_recent_transactions", {"n": 1000})
        for path in world["filesystem"]["files"]:
            yield Call("read_file", {"file_path": path})
        return
    for tool in ("get_current_day", "get_received_emails", "get_sent_emails", "get_draft_emails", "list_files"):
        yield Call(tool, {})
    for tool in ("search_emails", "search_contacts_by_name", "search_contacts_by_email", "search_calendar_events"):
        yield Call(tool, {"query": ANY})
    yield Call("search_files", {"query": ANY})
    yield Call("search_files_by_filename", {"filename": ANY})
    for file in world["cloud_drive"]["files"]:
        yield Call("get_file_by_id", {"file_id": file})
    for day in sorted({event["start_time"][:10] for event in world["calendar"]["events"].values()}):
        yield Call("get_day_calendar_events", {"day": day})
    yield Call("get_unread_emails", {})  # last: it marks them as read


def writes(suite: str, world: Any) -> Iterator[Call]:
    """Calls that put a canary into every text that an operator lets come from anywhere."""
    if suite == "banking":
        yield Call("send_money", {"recipient": "CH93", "amount": 1, "subject": CANARY, "date": "2022-01-01"})
        order = {"recipient": "CH93", "amount": 1, "subject": "Rent", "date": "2022-01-01"}
        yield Call("schedule_transaction", {**order, "recurring": False})
        yield Call(
            "update_scheduled_transaction", {"id": world["bank_account"]["scheduled_transactions"][0]["id"], "amount": 2}
        )
        yield Call("update_user_info", {"street": "Elm Street 1"})
        yield Call("update_password", {"password": "correct horse"})
        return
    mail = {"recipients": ["bob@example.com"], "subject": CANARY, "body": CANARY}
    yield Call("send_email", mail)
    event = {"title": "Talk", "description": CANARY, "location": CANARY, "participants": ["bob@example.com"]}
    yield Call("create_calendar_event", {**event, "start_time": "2024-05-19 12:00", "end_time": "2024-05-19 13:00"})
    event_id = next(iter(world["calendar"]["events"]))
    yield Call("reschedule_calendar_event", {"event_id": event_id, "new_start_time": "2024-05-19 12:00"})
    yield Call("add_calendar_event_participants", {"event_id": event_id, "participants": ["bob@example.com"]})
    yield Call("cancel_calendar_event", {"event_id": event_id})
    yield Call("create_file", {"filename": "talk.txt", "content": CANARY})
    files = iter(world["cloud_drive"]["files"])
    yield Call("append_to_file", {"file_id": next(files), "content": CANARY})
    yield Call("share_file", {"file_id": next(files), "email": "bob@example.com", "permission": "r"})
    yield Call("delete_file", {"file_id": next(files)})
    yield Call("delete_email", {"email_id": next(iter(world["inbox"]["emails"]))})


def texts(value: Any, pointer: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a document, by its pointer."""
    if isinstance(value, str):
        yield pointer, value
    elif isinstance(value, dict | list):
        inside = value.items() if isinstance(value, dict) else enumerate(value)
        yield from itertools.chain.from_iterable(texts(each, f"{pointer}/{key}") for key, each in inside)
