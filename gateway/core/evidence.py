"""Evidence: what a call brought into the run, and how far it may be believed."""

from dataclasses import dataclass
from typing import Any

from gateway.core.capability import TrustLevel


@dataclass(frozen=True, slots=True)
class EvidenceRef:
    """A result by handle, never by value: the commitment is salted."""

    ref: str
    trust_level: TrustLevel
    source_owner: str
    commitment: str

    def document(self) -> dict[str, Any]:
        """As it stands in a ToolEnvelope."""
        return {
            "ref": self.ref,
            "trust_level": self.trust_level.value,
            "source_owner": self.source_owner,
            "commitment": self.commitment,
        }
