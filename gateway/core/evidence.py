"""Evidence: what a call brought into the run, and how far it may be believed."""

from dataclasses import dataclass
from typing import Any

from gateway.core.capability import Capability, TrustLevel


@dataclass(frozen=True, slots=True)
class EvidenceRef:
    """A result by handle, never by value: the commitment is salted. None: it was replayed, and committed to before."""

    ref: str
    trust_level: TrustLevel
    source_owner: str
    commitment: str | None

    @classmethod
    def of_result(
        cls, capability: Capability, envelope_id: str, commitment: str | None, *, doubted: bool = False
    ) -> "EvidenceRef":
        """What the result of a capability's call is worth. `doubted`: its tool is not any more what was trusted."""
        said = capability.classification
        level = TrustLevel.UNTRUSTED if doubted else said.trust_level
        return cls(f"tool:{capability.id}:{envelope_id}", level, said.owner, commitment)

    def document(self) -> dict[str, Any]:
        """As it stands in a ToolEnvelope."""
        return {**self.told(), **({} if self.commitment is None else {"commitment": self.commitment})}

    def told(self) -> dict[str, Any]:
        """As the caller is told of it: by `ref` a later call of the same run can cite it."""
        return {"ref": self.ref, "trust_level": self.trust_level.value, "source_owner": self.source_owner}
