"""What there is to look at: the configuration as far as it can be read, the state folder, what a running gateway says."""

import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.adapters.clients import Machine
from gateway.adapters.daemon import DaemonClient
from gateway.adapters.keys import load_trusted_keys
from gateway.adapters.state import StateFolder
from gateway.admission import names_somebody
from gateway.core.errors import ConfigError, GatewayError, KeyFault
from gateway.core.trust import TrustedKeys
from gateway.settings import Settings, load_deployment, load_settings

ANSWER_SECONDS = 5.0
"""How long a running gateway may take to answer. One that takes longer does not answer."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """Found out once, so that all checks speak of the same moment.

    Attributes:
        config: gateway.yaml, whether it is there or not
        settings: all of it; None where it is not right
        outline: it without its servers and tools; None where not even that can be read
        mistake: why `settings` is None
        owned: whether a process owns the state folder
        status, tools: what it says, None where it does not answer
    """

    config: Path
    settings: Settings | None
    outline: Settings | None
    mistake: ConfigError | None
    state: StateFolder
    owned: bool
    status: Mapping[str, Any] | None
    tools: Mapping[str, Any] | None
    machine: Machine
    full: bool

    @classmethod
    def found(cls, config: Path | None, state: Path | None, machine: Machine, *, full: bool = False) -> "Deployment":
        """`config` and `state` as a person named them; None for ./gateway.yaml and the folder that it names."""
        path = config or Path("gateway.yaml")
        settings = outline = mistake = None
        with suppress(ConfigError):
            outline = load_deployment(path)
        try:
            settings = load_settings(path)
        except ConfigError as error:
            mistake = error
        folder = StateFolder(state or (outline.state_dir if outline is not None else path.absolute().parent / ".sealgate"))
        status = tools = None
        owned = _owned(folder)
        if owned and folder.control_socket.exists():
            with suppress(GatewayError), DaemonClient(folder.control_socket, seconds=ANSWER_SECONDS) as client:
                status, tools = client.get("/api/v1/status"), client.get("/api/v1/tools")
        return cls(path, settings, outline, mistake, folder, owned, status, tools, machine, full)

    @property
    def trusted(self) -> TrustedKeys | None:
        """The trust bundle, where there is a readable one."""
        try:
            return load_trusted_keys(self.state.keys / "public.json")
        except KeyFault:
            return None

    @property
    def serves(self) -> bool:
        """Whether it is made for `sealgate serve`: somebody is named who may call."""
        return self.state.api_keys.exists() or (self.outline is not None and names_somebody(self.outline))

    def command(self, *words: str, config: bool = False, state: bool = False) -> str:
        """A `sealgate` command line to print. `config`, `state`: it must name those, where they are not the usual ones."""
        line = ["sealgate", *words]
        if config and self.config != Path("gateway.yaml"):
            line += ["--config", str(self.config)]
        if state and not (self.config == Path("gateway.yaml") and self.outline is not None):
            line += ["--state", str(self.state.path)]
        return shlex.join(line)


def _owned(folder: StateFolder) -> bool:
    try:
        return folder.owned()
    except OSError:  # not ours to look at: `state` tells
        return False
