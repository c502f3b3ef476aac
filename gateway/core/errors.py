"""Faults: what stops the gateway or a command. Outcomes of calls are values, in `outcome.py`, not exceptions.

Every error tells what failed and what to do next. The cause goes to the log, a fixed sentence to the wire.
"""


class GatewayError(Exception):
    """A fault with a stable `code`, a `message` for people and a `hint`: the next thing to do."""

    code = "error"
    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code


class ConfigError(GatewayError):
    """The configuration, a policy file, a lock file or a key file is wrong."""

    code = "config.invalid"
    exit_code = 2


class KeyFault(GatewayError):
    """A key is missing, unreadable, too widely readable or of the wrong kind."""

    code = "keys.unusable"


class Erased(KeyFault):
    """A stored value's key was destroyed: nobody can read it any more."""

    code = "vault.erased"


class StoreFault(GatewayError):
    """The journal cannot promise durability any more: nothing may run."""

    code = "store.failed"


class StateLocked(GatewayError):
    """Another process owns the state folder."""

    code = "state.locked"


class ApprovalSpent(GatewayError):
    """Another call consumed this approval first: one approval, one run."""

    code = "approval.spent"


class FlowChanged(GatewayError):
    """Another call made the run stricter after this one was decided: it must be decided anew."""

    code = "flow.changed"


class Overloaded(GatewayError):
    """The journal's queue is full; the call was refused before any effect."""

    code = "gateway.busy"


class Unreachable(GatewayError):
    """The daemon, or something a command needs, does not answer."""

    code = "unreachable"
    exit_code = 4


class LoginNeeded(GatewayError):
    """The gateway wants a token, or another one."""

    code = "login.needed"
    exit_code = 3


class VerificationFailed(GatewayError):
    """A log, an entry or a checkpoint is not what was written."""

    code = "log.verification_failed"
    exit_code = 6
