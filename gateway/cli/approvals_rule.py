"""`sealgate approvals rule`: a change of the policy settings that would let calls like this one pass, as a diff to review.

It is printed and never applied: stdout is a patch with its grounds as comments above it, stderr what to do next.
"""

import asyncio
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.adapters.daemon import DaemonClient
from gateway.adapters.policy.bundle import default_policies
from gateway.adapters.policy.proposal import NoProposal, Proposal, propose
from gateway.cli.policy_explain import MISSING
from gateway.cli.render import print_json, say, visible
from gateway.cli.target import JsonOption, Target, targeted
from gateway.core.approval import ApprovalState
from gateway.core.commitment import Missing
from gateway.core.errors import ConfigError, GatewayError
from gateway.core.lifts import Value
from gateway.core.shown import shown_json, shown_word

RECENT = 500
MAX_SHOWN = 10


@targeted
def propose_rule(
    approval: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    policies: Annotated[
        Path | None,
        typer.Option("--policies", help="The policy folder to change. Default: policy.path.", show_default=False),
    ] = None,
    *,
    target: Target,
    json: JsonOption = False,
) -> None:
    """Print a diff of the policy settings that would let calls like this one pass unasked. Changes nothing itself."""
    target.folder("a rule is made from what policy saw of calls, which has their arguments in it.")
    with target.client() as client:
        document = client.get(f"/api/v1/approvals/{quote(approval, safe='')}")
        request = document["request"]
        if "modified_from" in request:
            raise GatewayError(
                f"a person changed this call, and a rule is about calls as they are made: see {request['modified_from']}",
                hint=f"sealgate approvals rule {shown_word(request['modified_from'])}",
                code="rule.changed_call",
            )
        seen = _seen(client, request["envelope_id"])
        source = client.get("/api/v1/policy/source")
        recent = client.get(f"/api/v1/policy/inputs?last={RECENT}")["inputs"]
    folder = _folder(source, policies)
    recorded = frozenset(reason["code"] for reason in request["reasons"])
    found = asyncio.run(propose(folder, seen, recorded, recent))
    if isinstance(found, NoProposal):
        raise _refusal(request, found)
    _check_visible(found.diff)
    warnings = list(_warnings(document, source, found))
    steps = _steps(source, folder)
    if json:
        print_json(_document(request, folder, found, warnings, steps))
        return
    for line in _head(request, found, warnings):
        typer.echo(f"# {line}")
    typer.echo(found.diff, nl=False)
    for line in warnings:
        say(f"WARNING: {line}")
    for line in steps:
        say(f"next: {line}")


def _seen(client: DaemonClient, envelope_id: str) -> dict[str, Any]:
    told = client.get(f"/api/v1/policy/inputs/{quote(envelope_id, safe='')}")
    if told["input"] is None:
        raise GatewayError(
            f"what policy saw of this call is not there: {MISSING[Missing(told['missing'])]}",
            hint="Let the call be made and asked about again.",
            code="policy.no_input",
        )
    seen: dict[str, Any] = told["input"]
    return seen


def _folder(source: dict[str, Any], given: Path | None) -> Path:
    """The folder whose settings are to change. Raises `ConfigError` where there is none of the operator's own."""
    if given is not None:
        return _checked(given)
    if source["engine"] == "opa":
        raise ConfigError(
            "an OPA server decides, and loads its policies itself",
            hint="Name the folder that they come from: sealgate approvals rule ID --policies PATH",
        )
    if source["path"] is None:
        copy = f"cp -r {shlex.quote(str(default_policies()))} policies"
        raise ConfigError(
            "the policies that come with Sealgate decide, and they are not yours to change",
            hint=f"Copy them first: {copy}; set policy.path in gateway.yaml to the copy; restart.",
        )
    return _checked(Path(source["path"]))


def _checked(path: Path) -> Path:
    if not path.is_dir():
        raise ConfigError(
            f"{path}: is no policy folder", hint="Name the folder that the bundle is built from: --policies PATH"
        )
    return path


def _refusal(request: dict[str, Any], found: NoProposal) -> GatewayError:
    lines = [f"no rule for {request['approval_id']} of {shown_word(request['capability_id'])}: {found.why}"]
    lines += [f"  {stay.code}: {stay.why}" for stay in found.stays]
    ways = dict.fromkeys([*([found.instead] if found.instead else []), *(stay.instead for stay in found.stays)])
    return GatewayError("\n".join(lines), hint=" ".join(ways), code=found.code)


def _check_visible(diff: str) -> None:
    """Raises where the operator's own file holds, beside the change, what cannot be seen in a terminal or acts on it."""
    for line in diff.split("\n"):
        body = line.removesuffix("\r").replace("\t", " ")
        if visible(body) != body:
            raise ConfigError(
                "the settings file holds invisible characters beside the change, so a diff would not show what it does",
                hint="Write them as JSON escapes, such as \\u200b, and try again.",
            )


def _head(request: dict[str, Any], found: Proposal, warnings: list[str]) -> Iterator[str]:
    chain = ", by ".join(map(shown_word, request["principal_chain"]))
    tool = f"{shown_word(request['capability_id'])} ({request['mode']})"
    yield f"To let calls like {request['approval_id']} of {tool} pass unasked; asked for {chain}."
    reasons = ", ".join(sorted(reason.code for reason in found.before.reasons))
    bound = ", ".join(found.after.obligations.names)
    yield f"This call: ask ({reasons}) -> allow{f', bound to {bound}' if bound else ''}. Nothing is changed yet."
    yield from _reach(found)
    for lift in found.lifts:
        yield f"{shown_word(lift.setting)}: lifts {lift.code}; holds for {shown_word(lift.holds_for)}"
        for value in lift.values:
            yield f"  {_shown(value)}"
        if lift.instead:
            yield f"  instead: {shown_word(lift.instead)}"
    for line in warnings:
        yield f"WARNING: {line}"


def _shown(value: Value) -> str:
    origin = f" (seen in: {value.seen()})" if value.origins is not None else ""
    return f"{shown_json(value.value)}  from {shown_word(value.source)}{origin}"


def _reach(found: Proposal) -> Iterator[str]:
    count = sum(one.count for one in found.changed)
    yield f"Of the last {found.tried} recorded decisions {count} would change{':' if count else '.'}"
    for one in found.changed[:MAX_SHOWN]:
        tool, who = shown_word(one.capability_id), shown_word(one.principal)
        yield f"  {one.before} -> {one.after}: {one.count} of {tool} for {who}"
    if len(found.changed) > MAX_SHOWN:
        yield f"  and {sum(one.count for one in found.changed[MAX_SHOWN:])} more"


def _warnings(document: dict[str, Any], source: dict[str, Any], found: Proposal) -> Iterator[str]:
    for lift in found.lifts:
        for value in lift.values:
            if value.untrusted:
                yield (
                    f"{shown_json(value.value)} was seen in a result that is not to be believed: whoever wrote that may "
                    "want this rule"
                )
    if found.redacted:
        yield "secrets were taken out of what is kept of this call; a policy that looks at them may decide otherwise"
    if document["state"] == ApprovalState.REJECTED:
        yield "somebody said no to this call"
    if document["state"] == ApprovalState.MODIFIED:
        yield "somebody changed this call rather than say yes to it"
    if source["engine"] == "opa":
        yield "an OPA server decides, and it cannot be told from here whether its policies are those of this folder"
    elif source["revision"] != found.revision:
        yield f"this folder is not what decides now: it has {found.revision}, in force is {source['revision']}"


def _steps(source: dict[str, Any], folder: Path) -> list[str]:
    where = shown_word(shlex.quote(str(folder)))
    steps = [
        "review it as you would any change of policy, then, in the folder "
        + where
        + ": git apply FILE, or patch -p1 < FILE",
        f"sealgate policy check {where}",
    ]
    if source["engine"] == "opa":
        steps.append("give the OPA server the changed policies; if it loads a bundle, build it anew: sealgate policy build")
    elif source["path"] is not None and Path(source["path"]).is_dir():
        steps.append("the gateway takes it up by itself, as a whole or not at all; at once: sealgate policy reload")
    else:
        steps.append("build the bundle anew, signed as the old one: sealgate policy build PATH --out FILE --key PRIVATE_PEM")
    return [*steps, "answers that were given under the old policies are void then"]


def _document(
    request: dict[str, Any], folder: Path, found: Proposal, warnings: list[str], steps: list[str]
) -> dict[str, Any]:
    return {
        "approval_id": request["approval_id"],
        "envelope_id": request["envelope_id"],
        "capability_id": request["capability_id"],
        "folder": str(folder),
        "revision": found.revision,
        "diff": found.diff,
        "before": {"effect": found.before.effect, "reasons": sorted(reason.code for reason in found.before.reasons)},
        "after": {"effect": found.after.effect, "obligations": list(found.after.obligations.names)},
        "lifts": [
            {
                "code": lift.code,
                "setting": lift.setting,
                "holds_for": lift.holds_for,
                "instead": lift.instead or None,
                "values": [
                    {
                        "value": value.value,
                        "source": value.source,
                        "origins": None if value.origins is None else sorted(value.origins),
                    }
                    for value in lift.values
                ],
            }
            for lift in found.lifts
        ],
        "tried": found.tried,
        "changed": [
            {
                "before": one.before,
                "after": one.after,
                "capability_id": one.capability_id,
                "principal": one.principal,
                "count": one.count,
            }
            for one in found.changed
        ],
        "warnings": warnings,
        "next": steps,
    }
