"""Would the campaign notice? Two gateways that are broken on purpose, under the same power cuts: they must be found out."""

from pathlib import Path

from faults.cuts import run as cut
from faults.inside import Options
from faults.tally import Tally
from gateway.adapters.store.sqlite.journal import SqliteJournal
from gateway.core.approval import Grant
from gateway.core.envelope import Ending
from gateway.core.flow import Flow
from gateway.core.outcome import Receipt

CUTS = 40


class LateIntentJournal(SqliteJournal):
    """A journal that writes nothing before an effect: the intent comes with the outcome. For the campaign only."""

    async def begin(self, grant: Grant, decided_on: Flow | None = None) -> None:
        return None

    async def finish(self, grant: Grant, ending: Ending, duration_ms: int) -> Receipt:
        await super().begin(grant)
        return await super().finish(grant, ending, duration_ms)


async def without_sync(tally: Tally, folder: Path) -> None:
    """`synchronous=OFF`: SQLite does not wait for the disk, so what was acknowledged is lost."""
    await cut(tally, CUTS, folder, Options(synchronous="off"))


async def without_intent(tally: Tally, folder: Path) -> None:
    """No intent before the effect: one that the power cut short is forgotten, and happens again."""
    await cut(tally, CUTS, folder, Options(journal=LateIntentJournal))
