"""`sealgate approvals`: what waits for a person, and the person's signed answer.

The answer is signed here, with the approver's own key; the daemon never sees the key or its passphrase.
"""

import time
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli.approvals_rule import propose_rule
from gateway.cli.approver_keys import KeyChoice
from gateway.cli.changes import check_offer, read_given
from gateway.cli.render import print_json, print_json_line, print_table, say, stdout
from gateway.cli.target import JsonOption, Target, targeted
from gateway.core.answer import Answer, answer_payload, bad_comment
from gateway.core.errors import GatewayError
from gateway.core.obligations import ApproveFor
from gateway.core.secret_formats import without_secrets
from gateway.core.shown import shown_differences, shown_request

app = typer.Typer(
    help="Calls that wait for a person: list, show, approve, reject, modify, revoke, watch; a rule in their place.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

KeyOption = Annotated[
    Path | None,
    typer.Option(
        "--key", envvar="SEALGATE_APPROVER_KEY", help="Your approver key. Default: the development key of this state folder."
    ),
]
PassphraseOption = Annotated[
    Path | None, typer.Option("--passphrase-file", help="Read the passphrase from this file (mode 0600) instead of asking.")
]
SshKeyOption = Annotated[
    Path | None,
    typer.Option(
        "--ssh-key",
        envvar="SEALGATE_APPROVER_SSH_KEY",
        help="Sign with this SSH key, by ssh-keygen; with its .pub the SSH agent or a hardware key signs.",
    ),
]
CommentOption = Annotated[str, typer.Option("--comment", help="Why; signed and kept with the answer.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]

_WHAT = {ApproveFor.ONCE: "exactly this call", ApproveFor.RUN: "this call, and any such call of its run until it expires"}


@app.command("list")
@targeted
def list_approvals(
    every: Annotated[bool, typer.Option("--all", help="Answered and expired ones too.")] = False,
    *,
    target: Target,
    json: JsonOption = False,
) -> None:
    """Calls that wait for an answer, oldest first."""
    with target.client() as client:
        document = client.get("/api/v1/approvals" + ("?all=true" if every else ""))
    if json:
        print_json(document)
        return
    rows = [
        [
            item["request"]["approval_id"],
            item["state"] + (", changed" if "modified_from" in item["request"] else ""),
            item["request"]["capability_id"],
            _undone(item["request"]).get("capability_id", ""),
            item["request"]["mode"],
            " → ".join(item["request"]["principal_chain"]),
            item["request"]["expires_at"],
        ]
        for item in document["approvals"]
    ]
    print_table(
        ["approval", "state", "tool", "undoes", "mode", "for", "expires"], rows, empty="Nothing waits for an approval."
    )


@app.command()
@targeted
def show(approval: str, *, target: Target, json: JsonOption = False) -> None:
    """Exactly what would run: tool, arguments, who asks, and the digest an answer is bound to."""
    with target.client() as client:
        document = client.get(_path(approval))
    if json:
        print_json(document)
        return
    _describe(document)


@app.command()
@targeted
def approve(
    approval: str,
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    ssh_key: SshKeyOption = None,
    comment: CommentOption = "",
    yes: YesOption = False,
    reach: Annotated[
        ApproveFor, typer.Option("--for", help="run: for such calls of the same run, too, where policy allows that.")
    ] = ApproveFor.ONCE,
    *,
    target: Target,
) -> None:
    """Sign a yes for one call. It counts once, for exactly this call, until it expires."""
    _answer(Answer.APPROVE, approval, KeyChoice(key, passphrase_file, ssh_key), comment, target, yes=yes, reach=reach)


@app.command()
@targeted
def reject(
    approval: str,
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    ssh_key: SshKeyOption = None,
    comment: CommentOption = "",
    yes: YesOption = False,
    *,
    target: Target,
) -> None:
    """Sign a no for one call."""
    _answer(Answer.REJECT, approval, KeyChoice(key, passphrase_file, ssh_key), comment, target, yes=yes)


@app.command()
@targeted
def modify(
    approval: str,
    changes: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="POINTER=JSON",
            help="A place in the arguments and its new value, such as /amount=50 or /to/0='\"ann\"'. May be repeated.",
        ),
    ],
    key: KeyOption = None,
    passphrase_file: PassphraseOption = None,
    ssh_key: SshKeyOption = None,
    comment: CommentOption = "",
    yes: YesOption = False,
    only_change: Annotated[
        bool, typer.Option("--only-change", help="Do not sign a yes for the changed call, too: others decide about it.")
    ] = False,
    *,
    target: Target,
) -> None:
    """Sign a no for one call and ask about it with other arguments instead; then sign a yes for that one."""
    given = read_given(changes)
    comment = _fit_comment(comment)
    choice, route = KeyChoice(key, passphrase_file, ssh_key), target.answers_by
    choice.check(target)
    with target.client() as client:
        made = client.get(_path(approval))
        instead = client.post(_path(approval) + "/modify", {"changes": given})
        check_offer(made, given, instead)
        for line in [*shown_differences(made["arguments"], instead["arguments"]), *shown_request(instead)]:
            stdout.print(line, markup=False, highlight=False, soft_wrap=True)
        if not yes:
            what = "ask about this call instead" if only_change else "approve this call instead"
            typer.confirm(f"Reject {approval}, and {what}?", abort=True, err=True)
        hand = choice.hand(client, target)
        payload = answer_payload(made["request"], Answer.MODIFY, hand.approver, comment, route, into=instead["request"])
        client.post(_path(approval) + "/answer", {"envelope": hand.sign(payload)})
        changed_id = instead["request"]["approval_id"]
        say(f"modify: recorded for {hand.approver}. The changed call is {changed_id}.")
        if only_change:
            say("It is not approved yet: " + f"sealgate approvals approve {changed_id}")
            return
        payload = answer_payload(instead["request"], Answer.APPROVE, hand.approver, comment, route)
        told = client.post(_path(changed_id) + "/answer", {"envelope": hand.sign(payload)})
    say(f"approve: recorded for {hand.approver}. {_next(told)}")


@app.command()
@targeted
def revoke(approval: str, *, target: Target) -> None:
    """Take back a request, an unused yes, or a yes for a run. What runs already goes on; the log says that it is void."""
    with target.client() as client:
        client.post(_path(approval) + "/revoke", {})
    say(f"revoked: no call runs on {approval} any more. The same call asks anew.")


@app.command()
@targeted
def watch(
    *,
    target: Target,
    json: JsonOption = False,
    every_seconds: Annotated[float, typer.Option("--every", min=0.2, help="Seconds between looks.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Stop after the first request.")] = False,
) -> None:
    """Print each request as it comes in, until interrupted."""
    seen: set[str] = set()
    say("Waiting for approval requests; Ctrl-C stops.")
    with target.client() as client:
        while True:
            for item in client.get("/api/v1/approvals")["approvals"]:
                name = item["request"]["approval_id"]
                if name in seen:
                    continue
                seen.add(name)
                document = client.get(f"/api/v1/approvals/{name}")
                if json:
                    print_json_line(document)
                else:
                    _describe(document)
                if once:
                    return
            try:
                time.sleep(every_seconds)
            except KeyboardInterrupt:
                return


app.command("rule")(propose_rule)


def _undone(request: dict[str, Any]) -> dict[str, str]:
    """The call that this one undoes; nothing where it undoes none."""
    undone: dict[str, str] = request.get("compensates", {})
    return undone


def _describe(document: dict[str, Any]) -> None:
    for line in shown_request(document):
        stdout.print(line, markup=False, highlight=False, soft_wrap=True)


def _answer(
    answer: Answer,
    approval: str,
    choice: KeyChoice,
    comment: str,
    target: Target,
    *,
    yes: bool,
    reach: ApproveFor = ApproveFor.ONCE,
) -> None:
    comment = _fit_comment(comment)
    choice.check(target)
    with target.client() as client:
        document = client.get(_path(approval))
        _describe(document)
        if not yes:
            typer.confirm(f"{answer.value.capitalize()} {_WHAT[reach]}?", abort=True, err=True)
        hand = choice.hand(client, target)
        payload = answer_payload(document["request"], answer, hand.approver, comment, target.answers_by, reach)
        told = client.post(_path(approval) + "/answer", {"envelope": hand.sign(payload)})
    say(f"{answer.value}: recorded for {hand.approver}. {_next(told)}")


def _fit_comment(comment: str) -> str:
    """The comment as it is signed. Raises `GatewayError` where it cannot be one."""
    unfit = bad_comment(comment)
    if unfit is not None:
        raise GatewayError(unfit.message, code=unfit.code)
    comment, secrets = without_secrets(comment)
    if secrets:
        say(f"the comment is signed without its secret ({', '.join(secrets)}): comments enter the log in clear")
    return comment


def _next(told: dict[str, Any]) -> str:
    if told["missing"]:
        return f"It takes {told['missing']} more, of other approvers."
    return "The caller makes the same call again to go on."


def _path(approval: str) -> str:
    return f"/api/v1/approvals/{quote(approval, safe='')}"
