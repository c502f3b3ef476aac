"""`sealgate tools`: what the upstreams offer, what of it may be called, and pinning definitions."""

import difflib
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli.render import one_line, pretty, print_json, print_table, say, stdout
from gateway.cli.target import JsonOption, Target, targeted
from gateway.core.errors import GatewayError

app = typer.Typer(help="Tools behind the gateway: list, show, diff, approve.", no_args_is_help=True, rich_markup_mode=None)

_APPROVABLE = ("unpinned", "drifted")
AT_ONCE = 1000
"""So many definitions are pinned by one request, which must stay within the bounds of any message."""


@app.command("list")
@targeted
def list_tools(*, target: Target, json: JsonOption = False) -> None:
    """Every tool: callable ones with their approval mode and whose word that is, hidden ones with the reason."""
    with target.client() as client:
        document = client.get("/api/v1/tools")
    if json:
        print_json(document)
        return
    rows = [
        [
            tool["id"],
            tool["mode"] if tool["callable"] else f"hidden: {tool['hidden']}",
            tool.get("declared_by", ""),
            tool.get("owner", ""),
            "" if tool["callable"] else tool["explanation"],
        ]
        for tool in document["tools"]
    ]
    print_table(
        ["tool", "mode", "declared by", "owner", "why hidden"], rows, empty="No upstream lists a tool. See sealgate status."
    )


@app.command()
@targeted
def show(tool: str, *, target: Target, json: JsonOption = False) -> None:
    """One tool: its classification and its whole definition, every character visible."""
    with target.client() as client:
        document = client.get(_path(tool))
    if json:
        print_json(document)
        return
    stdout.print(pretty(document), markup=False, highlight=False, soft_wrap=True)


@app.command()
@targeted
def diff(tool: str, *, target: Target) -> None:
    """What changed between the approved definition of a tool and the one its upstream lists now."""
    with target.client() as client:
        document = client.get(_path(tool))
    if document["pinned"] is None:
        raise GatewayError(f"{tool} was never approved, so there is nothing to compare", hint=f"sealgate tools show {tool}")
    listed = document["listed"][0]["definition"] if document["listed"] else {}
    lines = list(_diff(document["pinned"], listed))
    if not lines:
        say(f"{tool} is as it was approved.")
    for line in lines:
        stdout.print(line, markup=False, highlight=False, soft_wrap=True)


@app.command()
@targeted
def approve(
    tools: Annotated[list[str] | None, typer.Argument(help="Tools to approve as they are listed now.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All tools that wait for approval.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    *,
    target: Target,
) -> None:
    """Pin the definitions of tools in gateway.lock, so that they can be called until they change."""
    with target.client() as client:
        listed = {tool["id"]: tool for tool in client.get("/api/v1/tools")["tools"]}
        names = list(tools or [])
        if every:
            names = [name for name, tool in listed.items() if tool.get("hidden") in _APPROVABLE]
        if not names:
            say("No tool waits for approval." if every else "Name the tools to approve, or --all. See sealgate tools list.")
            raise typer.Exit(0 if every else 2)
        for name in names:
            tool = listed.get(name)
            if tool is not None:
                mode = f" ({tool['mode']}, declared by {tool['declared_by']})" if "mode" in tool else ""
                say(f"{one_line(name)}{mode}: {one_line(str(tool['definition'].get('description', '')))}")
                pinned = {} if tool.get("hidden") == "unpinned" else client.get(_path(name))["pinned"] or {}
                for line in _diff(pinned, tool["definition"]):
                    say(f"    {line}")
        if not yes:
            typer.confirm(f"Approve {len(names)} definition(s) as shown?", abort=True, err=True)
        approved: list[str] = []
        for begin in range(0, len(names), AT_ONCE):
            shown = {name: listed.get(name, {}).get("digest", "") for name in names[begin : begin + AT_ONCE]}
            approved += client.post("/api/v1/tools/approve", {"tools": shown})["approved"]
    say("approved: " + (", ".join(approved) or "nothing new"))


def _path(tool: str) -> str:
    return f"/api/v1/tool?id={quote(tool, safe='')}"


def _diff(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    return list(
        difflib.unified_diff(pretty(old).splitlines(), pretty(new).splitlines(), "approved", "listed", lineterm="", n=2)
    )
