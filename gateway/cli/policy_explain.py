"""`sealgate policy explain`: a recorded decision made again, the rules behind it, and what would change it."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.adapters.daemon import DaemonLog
from gateway.adapters.policy.bundle import load_bundle
from gateway.adapters.policy.explain import Change, Explanation, explain
from gateway.adapters.policy.kept import KeptPolicies
from gateway.cli.log_entries import statement
from gateway.cli.render import one_line, print_json, stdout
from gateway.cli.target import JsonOption, Target, targeted
from gateway.core.commitment import Missing
from gateway.core.errors import ConfigError, GatewayError
from gateway.core.ports import LogReader
from gateway.core.secret_formats import REDACTED

MISSING = {
    Missing.ERASED: "the values of its subject were erased",
    Missing.NOT_KEPT: "it is older than values are kept, or could not be kept (policy.input_kept in its entry)",
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision as an entry of the log has it."""

    envelope_id: str
    capability_id: str
    decision_id: str
    engine: str
    revision: str
    effect: str
    reasons: tuple[str, ...]
    obligations: tuple[str, ...]


@targeted
def explain_decision(
    wanted: Annotated[str, typer.Argument(metavar="ID", help="Envelope id or decision id.", show_default=False)],
    policies: Annotated[
        Path | None,
        typer.Option("--policies", help="Evaluate these policies instead of those that decided.", show_default=False),
    ] = None,
    *,
    target: Target,
    json: JsonOption = False,
) -> None:
    """Make a recorded decision again: which rules gave its reasons, and which single changes would change it."""
    folder = target.folder("what policy saw of a call has its arguments in it.")
    with target.client() as client:
        recorded = _recorded(DaemonLog(client), wanted)
        told = client.get(f"/api/v1/policy/inputs/{quote(recorded.envelope_id, safe='')}")
    if told["input"] is None:
        raise GatewayError(
            f"what policy saw of {recorded.envelope_id} is not there: {MISSING[Missing(told['missing'])]}",
            code="policy.no_input",
        )
    if policies is not None:
        bundle = load_bundle(policies)
    else:
        try:
            bundle = KeptPolicies(folder.policies).bundle(recorded.revision)
        except ConfigError as error:
            what = "an OPA server decided this, and its policies are" if recorded.engine == "opa" else "its policies are"
            raise ConfigError(
                f"{what} not kept here: {error.message}", hint="Name them: sealgate policy explain ID --policies PATH"
            ) from error
    found = asyncio.run(explain(bundle, told["input"]))
    agrees = _agrees(recorded, found)
    redacted = REDACTED in str(told["input"])
    if json:
        print_json(_document(recorded, found, bundle.revision, agrees=agrees, redacted=redacted))
        return
    for line in _lines(recorded, found, bundle.revision, agrees=agrees, redacted=redacted):
        stdout.print(one_line(line), markup=False, highlight=False, soft_wrap=True)


def _recorded(log: LogReader, wanted: str) -> Recorded:
    """The first entry of the call that names its decision. Raises `GatewayError`."""
    for stored in log.entries_naming(wanted):
        said = statement(stored)["predicate"]
        policy = said.get("policy")
        if not isinstance(policy, dict) or wanted not in (said.get("envelope_id"), policy.get("decision_id")):
            continue
        return Recorded(
            str(said.get("envelope_id")),
            str((said.get("capability") or {}).get("capability_id")),
            str(policy.get("decision_id")),
            str(policy.get("engine")),
            str(policy.get("bundle_revision")),
            str(policy.get("effect")),
            tuple(map(str, policy.get("reasons", ()))),
            tuple(map(str, policy.get("obligations", ()))),
        )
    raise GatewayError(
        f"the log has no decision {wanted}",
        hint="sealgate log list shows calls; one that was refused before policy was asked has no decision.",
        code="log.unknown",
    )


def _agrees(recorded: Recorded, found: Explanation) -> bool:
    verdict = found.verdict
    now = verdict.effect.value, sorted(reason.code for reason in verdict.reasons), list(verdict.obligations.names)
    return now == (recorded.effect, sorted(recorded.reasons), sorted(recorded.obligations))


def _lines(recorded: Recorded, found: Explanation, revision: str, *, agrees: bool, redacted: bool) -> Iterator[str]:
    verdict = found.verdict
    yield f"call {recorded.envelope_id} of {recorded.capability_id}, decision {recorded.decision_id}"
    yield f"then  {recorded.effect}: {', '.join(recorded.reasons) or 'no reason'} ({recorded.engine}, {recorded.revision})"
    codes = ", ".join(sorted(reason.code for reason in verdict.reasons)) or "no reason"
    yield f"now   {verdict.effect}: {codes}" + ("" if revision == recorded.revision else f" (by {revision})")
    if not agrees:
        yield "      NOT THE SAME" + (": secrets were taken out of what policy saw" if redacted else "")
    if verdict.cause is not None:
        yield f"      there is no decision: {verdict.cause}"
    yield "because"
    for ruling in found.rulings:
        yield f"  {ruling.code}  {', '.join(ruling.places) or 'no one line holds this code'}"
        yield f"    {ruling.message}"
    yield f"of {found.tried} single changes{'' if found.whole else ' (there would be more)'}, these would make a difference"
    for change in found.changes:
        yield f"  {change.effect} if {change.what}"
    for change in found.steps:
        yield f"  still {change.effect}, but no longer for {', '.join(change.gone)}, if {change.what}"
    if not found.changes and not found.steps:
        yield "  none"


def _document(recorded: Recorded, found: Explanation, revision: str, *, agrees: bool, redacted: bool) -> dict[str, Any]:
    verdict = found.verdict
    return {
        "envelope_id": recorded.envelope_id,
        "capability_id": recorded.capability_id,
        "decision_id": recorded.decision_id,
        "engine": recorded.engine,
        "then": {
            "revision": recorded.revision,
            "effect": recorded.effect,
            "reasons": list(recorded.reasons),
            "obligations": list(recorded.obligations),
        },
        "now": {
            "revision": revision,
            "effect": verdict.effect,
            "reasons": [
                {"code": ruling.code, "message": ruling.message, "places": list(ruling.places)} for ruling in found.rulings
            ],
            "obligations": list(verdict.obligations.names),
            "cause": verdict.cause,
        },
        "same": agrees,
        "redacted": redacted,
        "changes": [_change(change) for change in found.changes],
        "steps": [{**_change(change), "gone": list(change.gone)} for change in found.steps],
        "tried": found.tried,
        "all_tried": found.whole,
    }


def _change(change: Change) -> dict[str, Any]:
    return {"if": change.what, "effect": change.effect, "reasons": list(change.reasons)}
