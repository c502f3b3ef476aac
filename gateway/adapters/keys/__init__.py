"""Key files: of a deployment (`deployment`, `public`, `change`), of approvers (`approvers`); `files` is below them."""

from gateway.adapters.keys.approvers import (
    approver_public_key,
    load_approver_key,
    make_approver_key,
    read_approver_name,
    read_approver_public_key,
)
from gateway.adapters.keys.deployment import KeyRing, check_purpose, load_keys, make_keys
from gateway.adapters.keys.files import (
    FileSigner,
    load_signing_key,
    make_signing_key,
    read_private_text,
    write_private_text,
)
from gateway.adapters.keys.public import load_trusted_keys

__all__ = [
    "FileSigner",
    "KeyRing",
    "approver_public_key",
    "check_purpose",
    "load_approver_key",
    "load_keys",
    "load_signing_key",
    "load_trusted_keys",
    "make_approver_key",
    "make_keys",
    "make_signing_key",
    "read_approver_name",
    "read_approver_public_key",
    "read_private_text",
    "write_private_text",
]
