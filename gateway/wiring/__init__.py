"""Settings → objects: the only place that names the adapters, but for `admission.py` and `key_changes.py`."""

from gateway.wiring.assembly import Assembled, assemble
from gateway.wiring.folder import api_keys_without_daemon, hold_against_anchors, opened_journal

__all__ = ["Assembled", "api_keys_without_daemon", "assemble", "hold_against_anchors", "opened_journal"]
