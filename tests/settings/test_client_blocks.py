"""`mcpServers` is taken as each client writes it, and nothing in it is filled in wrongly."""

import json
from pathlib import Path

import pytest

from gateway.adapters.upstream.spec import HttpSpec, StdioSpec
from gateway.core.errors import ConfigError
from gateway.settings import load_settings
from tests.settings.conftest import Told, Write

CLAUDE_DESKTOP = """\
{
	"mcpServers": {
		"filesystem": {
			"command": "npx",
			"args": ["-y", "@modelcontextprotocol/server-filesystem", "/srv/notes"]
		},
		"github": {
			"command": "npx",
			"args": ["-y", "@modelcontextprotocol/server-github"],
			"env": {"GITHUB_PERSONAL_ACCESS_TOKEN": "ghp_\\ud83d\\ude00"}
		}
	}
}
"""

CLAUDE_CODE = """\
{
  "mcpServers": {
    "api-server": {
      "type": "http",
      "url": "${API_BASE_URL:-https://api.example.com}/mcp",
      "headers": {"Authorization": "Bearer ${API_KEY}"}
    },
    "local": {"type": "stdio", "command": "${TOOLS}/bin/server", "args": ["--root", "${ROOT:-.}"], "env": {}}
  }
}
"""

CURSOR = """\
{
  "mcpServers": {
    "web": {"url": "https://${env:WEB_HOST}/mcp", "headers": {"API_KEY": "${env:API_KEY}"}},
    "py": {"command": "python", "args": ["server.py"], "env": {"API_KEY": "${env:API_KEY}"}, "envFile": ".env"}
  }
}
"""

CLINE = """\
mcpServers:
  kept: {command: node, args: [build/index.js], disabled: false, autoApprove: [read], alwaysAllow: [], timeout: 60}
  off: {type: streamable-http, url: "https://x.example.com/mcp", disabled: true}
"""


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"API_KEY": "k3y", "TOOLS": "/opt/tools", "WEB_HOST": "web.example.com", "EMPTY": ""}.items():
        monkeypatch.setenv(name, value)
    for name in ("API_BASE_URL", "ROOT", "UNSET"):
        monkeypatch.delenv(name, raising=False)


def test_claude_desktop_with_tabs_and_escapes(write: Write, tmp_path: Path) -> None:
    settings = load_settings(write(CLAUDE_DESKTOP, "claude_desktop_config.json"))
    assert settings.upstream_specs() == (
        StdioSpec(
            "filesystem",
            "npx",
            ("-y", "@modelcontextprotocol/server-filesystem", "/srv/notes"),
            cwd=str(tmp_path),
        ),
        StdioSpec(
            "github",
            "npx",
            ("-y", "@modelcontextprotocol/server-github"),
            {"GITHUB_PERSONAL_ACCESS_TOKEN": "ghp_\N{GRINNING FACE}"},
            str(tmp_path),
        ),
    )
    assert settings.warnings == ()


def test_claude_code_with_defaults_of_variables(write: Write, tmp_path: Path) -> None:
    assert load_settings(write(CLAUDE_CODE, ".mcp.json")).upstream_specs() == (
        HttpSpec("api-server", "https://api.example.com/mcp", {"Authorization": "Bearer k3y"}),
        StdioSpec("local", "/opt/tools/bin/server", ("--root", "."), cwd=str(tmp_path)),
    )


def test_cursor_with_its_own_spelling_of_variables(write: Write, tmp_path: Path) -> None:
    settings = load_settings(write(CURSOR, "mcp.json"))
    assert settings.upstream_specs() == (
        HttpSpec("web", "https://web.example.com/mcp", {"API_KEY": "k3y"}),
        StdioSpec("py", "python", ("server.py",), {"API_KEY": "k3y"}, str(tmp_path)),
    )
    assert settings.warnings == ("mcp.json:4:94: mcpServers.py.envFile: is a key for clients; it means nothing here.",)


def test_keys_of_one_client_are_passed_over_with_a_warning(write: Write) -> None:
    settings = load_settings(write(CLINE))
    assert [spec.name for spec in settings.upstream_specs()] == ["kept", "off"]
    started = "is a key for clients; the server is started all the same."
    nothing = "is a key for clients; it means nothing here."
    assert settings.warnings == (
        f"gateway.yaml:2:49: mcpServers.kept.disabled: {started}",
        f"gateway.yaml:2:66: mcpServers.kept.autoApprove: {nothing}",
        f"gateway.yaml:2:87: mcpServers.kept.alwaysAllow: {nothing}",
        f"gateway.yaml:2:104: mcpServers.kept.timeout: {nothing}",
        f"gateway.yaml:3:66: mcpServers.off.disabled: {started}",
    )


def test_vs_code_calls_the_block_otherwise_and_is_told_so(write: Write) -> None:
    document = {"inputs": [], "servers": {"memory": {"type": "stdio", "command": "npx", "args": ["-y", "server-memory"]}}}
    with pytest.raises(ConfigError) as raised:
        load_settings(write(json.dumps(document, indent="\t"), "mcp.json"))
    assert 'mcp.json:3:2: servers: unknown key. Did you mean "mcpServers"?' in raised.value.message
    del document["inputs"]
    document["mcpServers"] = document.pop("servers")
    assert len(load_settings(write(json.dumps(document, indent="\t"), "mcp.json")).upstream_specs()) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${API_KEY}", "k3y"),
        ("${env:API_KEY}", "k3y"),
        ("a-${API_KEY}-${TOOLS}-z", "a-k3y-/opt/tools-z"),
        ("${UNSET:-d}", "d"),
        ("${UNSET:-}", ""),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY}", ""),
        ("${UNSET:-a:-b}", "a:-b"),
        ("$API_KEY and $$", "$API_KEY and $$"),
        ("${API_KEY", "${API_KEY"),
    ],
)
def test_a_variable_is_filled_in_once(write: Write, monkeypatch: pytest.MonkeyPatch, text: str, value: str) -> None:
    (spec,) = load_settings(write(f"mcpServers: {{n: {{command: x, args: ['{text}']}}}}")).upstream_specs()
    assert isinstance(spec, StdioSpec)
    assert spec.args == (value,)
    monkeypatch.setenv("API_KEY", "${TOOLS}")  # what a variable holds is no template
    (spec,) = load_settings(write("mcpServers: {n: {command: '${API_KEY}'}}")).upstream_specs()
    assert isinstance(spec, StdioSpec)
    assert spec.command.endswith("/${TOOLS}") is False
    assert spec.command == "${TOOLS}"


@pytest.mark.parametrize("text", ["${}", "${1A}", "${input:key}", "${workspaceFolder:x}", "${A B}"])
def test_what_is_no_variable_is_refused(told: Told, text: str) -> None:
    (line,) = told(f"mcpServers: {{n: {{command: x, args: ['{text}']}}}}")
    assert line.startswith(f"gateway.yaml:1:37: mcpServers.n.args[0]: {text} is not a variable. ")


def test_relative_paths_start_from_the_folder_of_the_file(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "elsewhere").mkdir()
    path = write(
        """\
        state: data
        policy: {path: ../rules}
        mcpServers:
          a: {command: ./bin/a, cwd: run}
          b: {command: python}
          c: {command: /usr/bin/c, cwd: /srv}
        """,
        "deploy/gateway.yaml",
    )
    monkeypatch.chdir(tmp_path / "elsewhere")
    settings = load_settings(Path("..") / path)
    folder = tmp_path / "elsewhere" / ".." / "deploy"
    assert settings.state_dir == folder / "data"
    assert settings.state_dir.is_absolute()
    assert settings.lock_path == folder / "gateway.lock"
    assert settings.policy_path == folder / "../rules"
    assert [(spec.command, spec.cwd) for spec in settings.upstream_specs() if isinstance(spec, StdioSpec)] == [
        (f"{folder}/bin/a", f"{folder}/run"),
        ("python", str(folder)),
        ("/usr/bin/c", "/srv"),
    ]
