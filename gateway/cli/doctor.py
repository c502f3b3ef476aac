"""`sealgate doctor`: what is wrong, and the command that repairs it."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.client_files import this_machine
from gateway.cli.render import one_line, print_json, say, stderr, stdout
from gateway.cli.target import JsonOption


def doctor(
    config: Annotated[Path | None, typer.Option("--config", "-c", help="gateway.yaml. Default: ./gateway.yaml.")] = None,
    state: Annotated[
        Path | None, typer.Option("--state", envvar="SEALGATE_STATE", help="State folder. Default: that of gateway.yaml.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Verify the whole log, however long it is.")] = False,
    json: JsonOption = False,
) -> None:
    """Look at all that a gateway needs; print what repairs what is wrong. Changes nothing. Exit 1 if something failed."""
    from gateway.doctor import Deployment, Level, examine  # only here: it takes a while to load
    from gateway.edge import logs

    logs.configure()
    with stderr.status("looking") if stderr.is_terminal else nullcontext():
        findings = list(examine(Deployment.found(config, state, this_machine(), full=full)))
    failed = sum(finding.level is Level.FAIL for finding in findings)
    warned = sum(finding.level is Level.WARN for finding in findings)
    if json:
        print_json(
            {
                "ok": not failed,
                "findings": [
                    {"about": one.about, "level": one.level.value, "what": one.what, "fix": one.fix} for one in findings
                ],
            }
        )
    else:
        for one in findings:
            line = f"{one.level.value:<5} {one.about:<14} {one.what}"
            stdout.print(one_line(line), markup=False, highlight=False, soft_wrap=True)
            if one.fix:
                stdout.print(one_line(f"{'':<21}→ {one.fix}"), markup=False, highlight=False, soft_wrap=True)
        say(f"{failed} failed, {warned} to look at, {len(findings) - failed - warned} ok")
    if failed:
        raise typer.Exit(1)
