"""A notes folder as an MCP server over stdio: `python notes.py FOLDER`.

Each note is one Markdown file directly in FOLDER. A missing folder is made, with one note in it. A name is letters, digits,
`-` and `_`; a link or anything else that is no plain file is refused, so no call reaches a file outside the folder.
"""

import argparse
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import anyio
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, TextContent, Tool, ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field, ValidationError

MAX_NOTE_BYTES = 256 * 1024
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
WELCOME = "# Welcome\n\nThis note was written by the example server.\n\n- buy oat milk\n- call the plumber\n"


class Refused(Exception):
    """The call cannot be done; the message is for the model to read."""


class Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class NoArguments(Arguments):
    pass


class Named(Arguments):
    name: Annotated[str, Field(description="The note's name, without a file ending.", pattern=f"^{NAME.pattern}$")]


class Written(Named):
    text: Annotated[str, Field(description="Markdown text.", max_length=65536)]


class Notes:
    """The folder. Every method raises `Refused` where the name is wrong, absent or no plain file."""

    def __init__(self, folder: Path) -> None:
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / "welcome.md").write_text(WELCOME, encoding="utf-8")
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)

    def names(self) -> list[str]:
        with os.scandir(self._folder) as found:
            return sorted(Path(f.name).stem for f in found if f.name.endswith(".md") and f.is_file(follow_symlinks=False))

    def read(self, name: str) -> str:
        with os.fdopen(self._open(name, os.O_RDONLY), "rb") as note:
            return note.read(MAX_NOTE_BYTES).decode("utf-8", errors="replace")

    def write(self, name: str, text: str) -> None:
        with os.fdopen(self._open(name, os.O_WRONLY | os.O_CREAT), "wb") as note:
            note.truncate()
            note.write(text.encode())

    def append(self, name: str, text: str) -> int:
        """Adds one line (or more) at the end; the number of lines that the note has now."""
        with os.fdopen(self._open(name, os.O_RDWR | os.O_CREAT | os.O_APPEND), "r+b") as note:
            before = note.read()
            added = (b"" if not before or before.endswith(b"\n") else b"\n") + text.rstrip("\n").encode() + b"\n"
            if len(before) + len(added) > MAX_NOTE_BYTES:
                raise Refused(f"The note {name!r} would be over {MAX_NOTE_BYTES} bytes. Start another note.")
            note.write(added)
        return (before + added).count(b"\n")

    def delete(self, name: str) -> None:
        os.close(self._open(name, os.O_RDONLY))
        os.unlink(f"{name}.md", dir_fd=self._folder)

    def _open(self, name: str, flags: int) -> int:
        if NAME.fullmatch(name) is None:
            raise Refused(f"{name!r} is no note name: use letters, digits, '-' and '_', at most 64.")
        try:
            # O_NOFOLLOW refuses a link, O_NONBLOCK keeps a FIFO from hanging the server.
            opened = os.open(f"{name}.md", flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600, dir_fd=self._folder)
        except FileNotFoundError:
            raise Refused(f"There is no note {name!r}. Call list_notes for the names.") from None
        except OSError as error:
            raise Refused(f"The note {name!r} cannot be opened: {error.strerror}.") from error
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            os.close(opened)
            raise Refused(f"The note {name!r} is no plain file.")
        return opened


@dataclass(frozen=True)
class Offer:
    """One tool: what it is told to be, its arguments, and what runs."""

    description: str
    arguments: type[Arguments]
    annotations: ToolAnnotations
    run: Callable[[Any], str]

    def as_tool(self, name: str) -> Tool:
        schema = self.arguments.model_json_schema()
        return Tool(name=name, description=self.description, input_schema=schema, annotations=self.annotations)


def _hints(*, changes: bool, destroys: bool = False, repeatable: bool = True) -> ToolAnnotations:
    return ToolAnnotations(
        read_only_hint=not changes, destructive_hint=destroys, idempotent_hint=repeatable, open_world_hint=False
    )


def offers(notes: Notes) -> dict[str, Offer]:
    """The tools, by name."""

    def list_notes(_: NoArguments) -> str:
        return "\n".join(notes.names()) or "There are no notes."

    def read_note(asked: Named) -> str:
        return notes.read(asked.name)

    def write_note(asked: Written) -> str:
        notes.write(asked.name, asked.text)
        return f"Wrote the note {asked.name!r}."

    def append_note(asked: Written) -> str:
        return f"Appended to the note {asked.name!r}: it has {notes.append(asked.name, asked.text)} lines now."

    def delete_note(asked: Named) -> str:
        notes.delete(asked.name)
        return f"Deleted the note {asked.name!r}."

    reads, replaces = _hints(changes=False), _hints(changes=True, destroys=True)
    return {
        "list_notes": Offer("List the names of all notes.", NoArguments, reads, list_notes),
        "read_note": Offer("Read one note.", Named, reads, read_note),
        "write_note": Offer("Create a note, or replace all of its text.", Written, replaces, write_note),
        "append_note": Offer(
            "Add text as a new line at the end of a note; makes the note where there is none.",
            Written,
            _hints(changes=True, repeatable=False),
            append_note,
        ),
        "delete_note": Offer("Delete a note for good.", Named, replaces, delete_note),
    }


def server(notes: Notes) -> Server[dict[str, Any]]:
    tools = offers(notes)
    listed = [offer.as_tool(name) for name, offer in tools.items()]

    async def on_list_tools(_ctx: object, _params: object) -> ListToolsResult:
        return ListToolsResult(tools=listed)

    async def on_call_tool(_ctx: object, params: CallToolRequestParams) -> CallToolResult:
        try:
            offer = tools.get(params.name)
            if offer is None:
                raise Refused(f"There is no tool {params.name!r}.")
            text = offer.run(offer.arguments.model_validate(params.arguments or {}))
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            return CallToolResult(content=[TextContent(text=f"Wrong arguments: {wrong}")], is_error=True)
        except Refused as refusal:
            return CallToolResult(content=[TextContent(text=str(refusal))], is_error=True)
        return CallToolResult(content=[TextContent(text=text)])

    return Server(
        "notes",
        version="1.0.0",
        instructions="A folder of short Markdown notes.",
        get_tool_input_schema={tool.name: tool.input_schema for tool in listed}.get,
        on_list_tools=on_list_tools,
        on_call_tool=on_call_tool,
    )


async def serve(folder: Path) -> None:
    app = server(Notes(folder))
    async with stdio_server() as (reading, writing):
        await app.run(reading, writing, app.create_initialization_options())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the notes are")
    anyio.run(serve, cast("Path", parser.parse_args().folder))
