"""Which gateway a command means: one on this machine, by its state folder, or one elsewhere, by URL and token.

`@targeted` gives a command the options that say so; it gets one `Target` and asks it, whichever it is.
"""

import functools
import getpass
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.adapters.daemon import DaemonClient, DaemonLog, RemoteGateway
from gateway.adapters.keys import read_private_text
from gateway.adapters.state import StateFolder
from gateway.adapters.store.sqlite.reader import SqliteLog
from gateway.core.errors import ConfigError, LoginNeeded
from gateway.core.gateway_url import bearer_token, gateway_url
from gateway.core.obligations import Route
from gateway.core.ports import LogReader

StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state", envvar="SEALGATE_STATE", help="State folder. Default: that of ./gateway.yaml, else ./.sealgate."
    ),
]
UrlOption = Annotated[
    str | None,
    typer.Option("--url", envvar="SEALGATE_URL", help="Ask the gateway at this URL instead; it wants a token."),
]
TokenOption = Annotated[
    Path | None,
    typer.Option("--token-file", help="File (mode 0600) with the token for --url. Default: the variable SEALGATE_TOKEN."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
TOKEN_VARIABLE = "SEALGATE_TOKEN"  # noqa: S105 - its name


class Here:
    """A gateway of this machine: through the control socket in its folder, or, for what can be read so, its files."""

    answers_by = Route.CLI

    def __init__(self, given: Path | None) -> None:
        self._given = given

    @functools.cached_property
    def state(self) -> StateFolder:
        """Its folder; looked for only where it is needed. Raises `ConfigError`."""
        return state_folder(self._given)

    def client(self) -> DaemonClient:
        """Its daemon. Raises `Unreachable` when used, where none runs."""
        return DaemonClient(self.state.control_socket)

    def running(self) -> bool:
        """Whether a daemon owns the folder, and is to be asked."""
        return self.state.owned()

    @contextmanager
    def log(self) -> Iterator[LogReader]:
        """The log: through the daemon where one owns the folder, else straight from the file, read-only."""
        if self.state.owned():
            with self.client() as client:
                yield DaemonLog(client)
        else:
            log = SqliteLog(self.state.journal)
            try:
                yield log
            finally:
                log.close()

    def folder(self, why: str) -> StateFolder:
        """The state folder, for what needs its files."""
        return self.state

    def trusted(self, given: Path | None) -> Path:
        """The file of public keys to trust: the given one, or the folder's own."""
        return given or self.state.keys / "public.json"


@dataclass(frozen=True, slots=True)
class There:
    """A gateway elsewhere."""

    gateway: RemoteGateway

    @property
    def answers_by(self) -> Route:
        """How an approver's answer reaches it; the answer states that."""
        return Route.WEBHOOK

    def client(self) -> DaemonClient:
        """The gateway. Raises `Unreachable` when used, where none answers."""
        return DaemonClient(self.gateway)

    def running(self) -> bool:
        """It is to be asked."""
        return True

    @contextmanager
    def log(self) -> Iterator[LogReader]:
        """The log, as the gateway tells it: nothing of it is believed before it is verified."""
        with self.client() as client:
            yield DaemonLog(client)

    def folder(self, why: str) -> StateFolder:
        """Raises `ConfigError`: there is none here."""
        raise ConfigError(f"this is not done over the network: {why}", hint="Run it on the gateway's machine, as its user.")

    def trusted(self, given: Path | None) -> Path:
        """The given file. Raises `ConfigError`: who serves a log cannot be who says by which keys it is true."""
        if given is None:
            raise ConfigError(
                "which keys are to be trusted? A gateway elsewhere is not asked for its own",
                hint="Get public.json from its operator, by another way, and name it: --keys public.json",
            )
        return given


Target = Here | There


def state_folder(given: Path | None) -> StateFolder:
    """The state folder a command means."""
    if given is None:
        from gateway.settings import load_settings  # only here: it takes a while to load

        config = Path("gateway.yaml")
        given = load_settings(config).state_dir if config.exists() else Path(".sealgate")
    return StateFolder(given)


def find_target(state: Path | None, url: str | None, token_file: Path | None) -> Target:
    """Which gateway the options mean. Raises `ConfigError`, `LoginNeeded`."""
    if url is None:
        if token_file is not None:
            raise ConfigError("--token-file is for a gateway elsewhere", hint="Name it, too: --url https://…")
        return Here(state)
    if state is not None:
        raise ConfigError(
            "--url and --state name two gateways", hint="Give one of them. SEALGATE_URL and SEALGATE_STATE count, too."
        )
    place = gateway_url(url)
    text = os.environ.get(TOKEN_VARIABLE) if token_file is None else read_private_text(token_file)
    if not text:
        raise LoginNeeded(f"{place} wants a token", hint=f"Put it into {TOKEN_VARIABLE}, or into a file: --token-file FILE")
    return There(RemoteGateway(place, bearer_token(text)))


def targeted(command: Callable[..., None]) -> Callable[..., None]:
    """The command with `--state`, `--url` and `--token-file` in the place of its parameter `target`."""
    own = inspect.signature(command, eval_str=True).parameters
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in (("state", StateOption), ("url", UrlOption), ("token_file", TokenOption))
    ]
    shown = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for name, one in own.items() if name != "target"]
    place = list(own).index("target")

    @functools.wraps(command)
    def with_options(*, state: Path | None, url: str | None, token_file: Path | None, **given: Any) -> None:
        command(**given, target=find_target(state, url, token_file))

    signature = inspect.Signature([*shown[:place], *options, *shown[place:]])
    with_options.__signature__ = signature  # type: ignore[attr-defined]
    with_options.__annotations__ = {one.name: one.annotation for one in signature.parameters.values()}
    del with_options.__wrapped__
    return with_options


def login_name() -> str:
    """Who runs this command, as the system knows it."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid-{os.getuid()}"
