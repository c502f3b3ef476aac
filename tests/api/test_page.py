"""docs/reference/api.md: every example on it works, and its tables say what is served."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.edge.api_errors import statuses
from tests.api.office import Office
from tests.api.test_roles import TABLE
from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "reference" / "api.md"


@pytest.mark.long
def test_every_command_on_the_page_works(office: Office, curl: str, tmp_path: Path) -> None:
    shutil.copy(office.gateway.state / "keys" / "public.json", tmp_path)
    command = f'sealgate() {{ "{sys.executable}" -m gateway "$@"; }}\n'
    script = command + "".join(block.text for block in blocks("sh") if block.page == PAGE)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SEALGATE_URL": office.url,
        "TOKEN": "auditor-token",
        "ADMIN_TOKEN": "admin-token",
        "APPROVER_TOKEN": "approver-token",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for said in ('"log_origin"', '"next"', '"revision"', "box__drop", "OK: "):
        assert said in done.stdout


def test_its_table_has_every_operation_with_its_roles() -> None:
    found: dict[tuple[str, str], set[str]] = {}
    for row in re.findall(r"^\| `(?:GET|POST) .*$", PAGE.read_text(), re.MULTILINE):
        what, *cells = [cell.strip() for cell in row.strip("|").split("|")]
        method = "GET" if "GET" in what else "POST"
        roles = {role for role, cell in zip(("auditor", "approver", "admin"), cells, strict=True) if cell}
        for path in re.findall(r"`(?:GET |POST )?(/[^`?]*)", what):
            found[method, f"/api/v1{path}"] = roles
    assert found == {**TABLE, ("GET", "/api/v1/openapi.json"): {"auditor", "approver", "admin"}}


def test_its_table_of_refusals_has_the_status_of_every_code() -> None:
    rows = re.findall(r"^\| (\d{3}) \| ([^|]*) \|", PAGE.read_text(), re.MULTILINE)
    told = {code: int(status) for status, codes in rows for code in re.findall(r"`([a-z_.]+)`", codes)}
    local = {"erasure.unknown_subject", "erasure.invalid"}
    assert {code: status for code, status in statuses().items() if code not in local}.items() <= told.items()
