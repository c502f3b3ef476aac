"""Signatures by an approver's SSH key, made by `ssh-keygen`, which knows agents and hardware keys."""

import subprocess
from pathlib import Path

from gateway.core.answer import SSH_NAMESPACE
from gateway.core.errors import KeyFault
from gateway.core.sshsig import BadSshKey, SshKey, read_ssh_key

_PATIENCE_SECONDS = 120  # for a passphrase, or a touch
_PUBLIC = ".pub"


def read_ssh_public_key(path: Path) -> SshKey:
    """The public half of a key file, from the `.pub` beside it or from itself. Raises `KeyFault`."""
    public = path if path.suffix == _PUBLIC else path.with_name(path.name + _PUBLIC)
    try:
        return read_ssh_key(public.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFault(f"cannot read {public}: {error}", hint=f"ssh-keygen -y -f {path} > {public} makes it.") from error
    except BadSshKey as error:
        raise KeyFault(f"{public} {error}") from error


def ssh_sign(path: Path, payload: bytes) -> str:
    """The armoured signature over `payload` for approvals. With a `.pub` the private half is the SSH agent's.

    ssh-keygen asks on the terminal for a passphrase or a touch. Raises `KeyFault`.
    """
    command = ["ssh-keygen", "-Y", "sign", "-n", SSH_NAMESPACE, "-f", str(path)]
    try:
        done = subprocess.run(  # noqa: S603 - the path is the user's own word
            command, input=payload, stdout=subprocess.PIPE, timeout=_PATIENCE_SECONDS, check=False
        )
    except FileNotFoundError as error:
        raise KeyFault("there is no ssh-keygen", hint="Install the OpenSSH client (package openssh-client).") from error
    except subprocess.TimeoutExpired as error:
        raise KeyFault(f"ssh-keygen did not sign within {_PATIENCE_SECONDS} s") from error
    if done.returncode != 0:
        raise KeyFault(
            f"ssh-keygen could not sign with {path} (exit {done.returncode})",
            hint="It says why above. Try: ssh-add -l, and ssh-keygen -Y sign -n test -f KEY < FILE",
        )
    return done.stdout.decode()
