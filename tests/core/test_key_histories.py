"""Random histories of keys: what `KeyHistory` makes of each entry, against a model that asks a few plain questions."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.entry import Entry, Kind
from gateway.core.trust import KeyHistory, KeyRole, TrustedKeys, revocation, rotation
from tests.core.key_story import first_bundle, signer

NAMES = ["E0", "R0", "L0", "A", "B", "C", "D"]
KEYS = {name: signer(name) for name in NAMES}
names = st.sampled_from(NAMES)
roles = st.sampled_from(KeyRole)


@dataclass(frozen=True)
class Told:
    """An entry to come. `odd`: signatures that are missing or too many; `back`: how far a revocation reaches back."""

    event: str
    by: str
    role: KeyRole = KeyRole.ENTRY
    old: str = ""
    new: str = ""
    odd: frozenset[str] = frozenset()
    back: int = 0

    @property
    def signed(self) -> set[str]:
        """Whose signatures a rotation carries."""
        return {self.by, *({self.old, self.new} ^ self.odd)}


odd = st.just(frozenset[str]()) | st.frozensets(names, max_size=2)
plain = st.builds(Told, st.just("boot"), names)
rotations = st.builds(Told, st.just("rotate"), names, roles, names, names, odd)
revocations = st.builds(Told, st.just("revoke"), names, roles, names, back=st.integers(-1, 12))


@dataclass
class Model:
    """For each key its role, where it began, was rotated, was revoked; and where it last signed an entry that counted."""

    role: dict[str, KeyRole] = field(default_factory=lambda: {"E0": KeyRole.ENTRY, "R0": KeyRole.ENTRY, "L0": KeyRole.LOG})
    began: dict[str, int] = field(default_factory=lambda: {"E0": 0, "R0": 0, "L0": 0})
    ended: dict[str, int] = field(default_factory=dict)
    revoked: dict[str, int] = field(default_factory=dict)
    signed: dict[str, int] = field(default_factory=dict)

    def fine(self, place: int, told: Told) -> bool:
        """Whether nothing is wrong with the entry; and what it says happens, if it may."""
        by_entry_key = self.role.get(told.by) is KeyRole.ENTRY and self.began[told.by] <= place
        if not by_entry_key or place >= self.ended.get(told.by, place + 1) or place >= self.revoked.get(told.by, place + 1):
            return False
        self.signed[told.by] = place
        if told.event == "rotate":
            return self._rotate(place, told)
        return told.event == "boot" or self._revoke(place, told)

    def _in_force(self, name: str, role: KeyRole) -> bool:
        return self.role.get(name) is role and name not in self.ended and name not in self.revoked

    def _rotate(self, place: int, told: Told) -> bool:
        allowed = (
            {told.by, told.old, told.new} == told.signed
            and self._in_force(told.old, told.role)
            and told.new not in self.role
        )
        if allowed:
            self.role[told.new], self.began[told.new], self.ended[told.old] = told.role, place + 1, place + 1
        return allowed

    def _revoke(self, place: int, told: Told) -> bool:
        since = place - told.back
        others = [name for name in self.role if name != told.old and self._in_force(name, told.role)]
        allowed = (
            self.role.get(told.old) is told.role
            and self.began[told.old] <= place
            and told.old != told.by
            and 0 <= since <= place
        )
        reaches_further = since < self.revoked.get(told.old, place + 1)
        if not allowed or (reaches_further and not others):
            return False
        if not reaches_further:
            return True
        self.revoked[told.old] = since
        return self.signed.get(told.old, -1) < since


def entry(place: int, told: Told) -> Entry:
    """As it would be read back from the log."""
    body: dict[str, object] = {}
    if told.event == "rotate":
        body = rotation(told.role, KEYS[told.old].public(), KEYS[told.new].public())
    elif told.event == "revoke":
        body = revocation(told.role, KEYS[told.old].keyid, place - told.back, "stolen")
    signers = (told.by, *sorted(told.signed - {told.by})) if told.event == "rotate" else (told.by,)
    kind = Kind.BOOT if told.event == "boot" else Kind.KEY
    return Entry(place, kind, f"{place}", body, tuple(KEYS[name].keyid for name in signers))


def in_force(keys: TrustedKeys, role: KeyRole) -> set[str]:
    return {name for name in NAMES if (period := keys.of(role).get(KEYS[name].keyid)) is not None and period.in_force}


@given(st.lists(plain | rotations | revocations, max_size=25))
def test_each_entry_is_fine_exactly_where_the_model_says_so(history: list[Told]) -> None:
    model, reading = Model(), KeyHistory(first_bundle("E0", "R0"))
    for place, told in enumerate(history):
        fine = model.fine(place, told)
        problems = list(reading.problems(entry(place, told)))
        assert (problems == []) is fine, (place, told, problems)
    for role in KeyRole:
        assert in_force(reading.keys, role) == {name for name in NAMES if model._in_force(name, role)}


@dataclass
class Honest:
    """Draws what a gateway would write: every step is allowed, whatever the numbers are."""

    entry: list[str] = field(default_factory=lambda: ["E0", "R0"])
    log: str = "L0"
    unused: list[str] = field(default_factory=lambda: ["A", "B", "C", "D"])

    def step(self, place: int, what: int, which: int) -> Told:
        by = self.entry[which % 2]
        if what == 0 and self.unused:
            new = self.unused.pop()
            self.entry[which % 2] = new
            return Told("rotate", by, KeyRole.ENTRY, by, new)
        if what == 1 and self.unused:
            old, self.log = self.log, self.unused.pop()
            return Told("rotate", by, KeyRole.LOG, old, self.log)
        retired = [name for name in NAMES if name not in (*self.entry, *self.unused, self.log)]
        if what == 2 and retired:
            old = retired[which % len(retired)]
            role = KeyRole.LOG if old in self.logs else KeyRole.ENTRY
            return Told("revoke", by, role, old)
        return Told("boot", by)

    logs: set[str] = field(default_factory=lambda: {"L0"})

    def tell(self, steps: list[tuple[int, int]]) -> list[Told]:
        told = []
        for place, (what, which) in enumerate(steps):
            told.append(self.step(place, what, which))
            self.logs.add(self.log)
        return told


honest = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=20).map(lambda steps: Honest().tell(steps))


@given(honest)
def test_an_honest_history_holds_with_the_bundle_of_every_moment(history: list[Told]) -> None:
    entries = [entry(place, told) for place, told in enumerate(history)]
    first = KeyHistory(first_bundle("E0", "R0"))
    bundles = [first.keys]
    for one in entries:
        assert list(first.problems(one)) == []
        bundles.append(first.keys)
    for bundle in bundles:
        reading = KeyHistory(bundle)
        assert [problem for one in entries for problem in reading.problems(one)] == []
        assert list(reading.bundle_problems(len(entries))) == []
        assert reading.keys == bundles[-1]


@given(honest, st.data())
def test_leaving_out_one_change_of_keys_is_found_with_the_newest_bundle(history: list[Told], data: st.DataObject) -> None:
    entries = [entry(place, told) for place, told in enumerate(history)]
    first = KeyHistory(first_bundle("E0", "R0"))
    for one in entries:
        assert list(first.problems(one)) == []
    told = {period.since - 1 for role in KeyRole for period in first.keys.of(role).values() if period.since}
    told |= {period.revoked.entry for role in KeyRole for period in first.keys.of(role).values() if period.revoked}
    if not told:
        return
    left_out = data.draw(st.sampled_from(sorted(told)))
    reading = KeyHistory(first.keys)
    found = [problem for one in entries if one.index != left_out for problem in reading.problems(one)]
    assert found + list(reading.bundle_problems(len(entries))) != []
