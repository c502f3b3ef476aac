"""What a revocation disowns may be accepted by who names the key, and nothing else is."""

from dataclasses import replace

from gateway.core.entry import Kind
from gateway.core.trust import KeyRole, Revocation
from gateway.core.verify import MAX_PROBLEMS
from tests.core.key_story import Story, first_bundle, signer
from tests.core.test_trust import begun, disowned, rotated, short

ENTRY, LOG = KeyRole.ENTRY, KeyRole.LOG


def cannot(covered: int) -> str:
    return (
        f"; it cannot be accepted: checkpoints that count cover the first {covered} entries only,"
        " and what they do not cover may have been forged since"
    )


def stolen() -> Story:
    """Both keys are revoked from before the end of their time on."""
    story = begun()
    story.boots(1)
    story.checkpoint()
    story.rotate_entry_key("E1")
    story.rotate_log_key("L1")
    story.revoke(ENTRY, "E0", 3)
    story.revoke(LOG, "L0", 4)
    story.boots(1)
    story.checkpoint()
    return story


def test_who_accepts_what_each_revocation_disowns_finds_that_the_log_holds() -> None:
    story = stolen()
    assert story.disowned() == [
        disowned("3 entries, 3 to 5", ENTRY, "E0", 3, 7),
        disowned("checkpoint 5", LOG, "L0", 4, 8),
    ]
    accepted = story.verify(accept=["E0", "L0"])
    assert (accepted.ok, accepted.problems, accepted.covered) == (True, [], story.size)
    assert [one.sentence for one in accepted.revoked] == story.disowned(), "what is accepted is still told"
    for some in (["E0"], ["L0"], ["E1", "L1"]):
        assert not story.verify(accept=some).ok


def test_however_much_is_disowned_the_log_is_read_to_its_end() -> None:
    story = Story()
    story.boots(MAX_PROBLEMS + 20)
    story.rotate_entry_key("E1")
    story.revoke(ENTRY, "E0", 0)
    story.boots(1)
    story.checkpoint()
    report = story.verify(accept=["E0"])
    assert (report.ok, report.size, report.revoked[0].count) == (True, story.size, MAX_PROBLEMS + 21)


def test_a_disowned_checkpoint_covers_nothing_and_is_accepted_only_under_one_that_counts() -> None:
    story = begun()
    story.rotation_entry(LOG, "L0", "L1", "E0", "L0", "L1")  # and no checkpoint by the new key
    bundle = story.bundles[0].rotated(LOG, signer("L0").keyid, signer("L1").public(), 5)
    story.bundles.append(bundle)
    story.revoke(LOG, "L0", 3)
    report = story.verify(accept=["L0"])
    assert (report.problems, report.faults) == ([], [disowned("checkpoint 4", LOG, "L0", 3, 5) + cannot(0)])
    assert (report.ok, report.covered) == (False, 0)
    story.checkpoint("L1")
    report = story.verify(accept=["L0"])
    assert (report.ok, report.covered) == (True, 6)


def test_a_bundle_that_does_not_know_of_the_revocation_accepts_nothing() -> None:
    """Who copied the key could rotate it to one of his own and revoke it by that: only the bundle tells these two apart."""
    story = stolen()
    for bundle in story.bundles[:3]:
        report = story.verify(bundle, accept=["E0", "L0"])
        assert (report.ok, report.revoked) == (False, [])
        assert f"the key {short('E0')}… is revoked from 3 on, and signed entries up to 5" in report.problems[0]


def beginning(story: Story, size: int) -> Story:
    """The log as it was when it had so many entries, or cut there; and the bundles of today."""
    notes = [note for note in story.notes if note[0] <= size]
    return Story(entries=story.entries[:size], notes=notes, bundles=story.bundles)


def test_what_a_bundle_ahead_of_the_log_disowns_in_its_beginning_is_accepted_under_a_checkpoint_that_counts() -> None:
    story = stolen()
    part = beginning(story, 7)  # up to the checkpoint by both log keys
    assert part.disowned() == story.disowned()
    assert part.verify(accept=["E0", "L0"]).ok


def test_the_beginning_of_a_log_from_before_both_keys_were_rotated_cannot_be_accepted_any_more() -> None:
    """Nothing in it is by a key that counts: it is as good as what the thief could make."""
    story = stolen()
    part = beginning(story, 6)
    assert part.disowned() == story.disowned()
    for accept in ([], ["E0", "L0"]):
        assert part.verify(accept=accept).faults == [line + cannot(4) for line in story.disowned()]


# --- forged after the revocation ---


def forged(by: str = "genuine") -> Story:
    """An entry key that is revoked from 3 on by entry 8. Who copied it can sign the entries 3 to 7 anew."""
    story = Story()
    story.boots(3)
    story.checkpoint()
    for number in range(4):
        story.append(Kind.BOOT, {"by": by, "number": number}, "E0")
    story.checkpoint()
    story.rotate_entry_key("E1")
    story.checkpoint()
    story.revoke(ENTRY, "E0", 3)
    story.boots(2)
    story.checkpoint()
    return story


def test_entries_forged_under_the_genuine_rotation_are_not_accepted_where_every_later_checkpoint_was_dropped() -> None:
    genuine, false = forged(), forged("the thief")
    assert genuine.verify(accept=["E0"]).ok
    entries = [*genuine.entries[:3], *false.entries[3:7], *genuine.entries[7:]]
    log = Story(entries=entries, notes=genuine.notes[:1], bundles=genuine.bundles)
    report = log.verify(accept=["E0"])
    assert (report.problems, report.covered, report.unaccepted) == ([], 3, report.revoked)
    assert report.faults == [disowned("5 entries, 3 to 7", ENTRY, "E0", 3, 8) + cannot(3)]
    log.notes = genuine.notes
    assert not log.verify(accept=["E0"]).ok, "with the genuine checkpoints its roots are wrong"


def test_entries_forged_in_the_place_of_the_revocation_are_not_accepted() -> None:
    genuine, false = forged(), forged("the thief")
    for size in range(4, 8):
        log = Story(entries=false.entries[:size], notes=genuine.notes[:1], bundles=genuine.bundles)
        report = log.verify(accept=["E0"])
        assert (report.ok, report.problems, report.covered) == (False, [], 3)


def test_a_forged_end_is_not_accepted_on_the_strength_of_a_checkpoint_of_what_is_before_it() -> None:
    genuine = forged()
    log = beginning(genuine, 7)
    assert log.verify(accept=["E0"]).ok, "the log key, which nobody copied, signed all of it"
    log.boots(1, "E0")
    report = log.verify(accept=["E0"])
    assert report.problems == [f"the entry key {short('E1')}… is to count from 8 on, and no entry introduces it"]
    assert report.faults[1:] == [disowned("5 entries, 3 to 7", ENTRY, "E0", 3, 8) + cannot(7)]


def test_a_checkpoint_by_the_copied_log_key_does_not_make_forged_entries_acceptable() -> None:
    """Both keys were copied, and both are revoked from 3 on."""
    genuine, false = forged(), Story()
    genuine.rotate_log_key("L1")
    genuine.revoke(LOG, "L0", 3)
    genuine.checkpoint()
    assert genuine.verify(accept=["E0", "L0"]).ok
    false.entries, false.notes, false.bundles = genuine.entries[:3], genuine.notes[:1], genuine.bundles
    for _ in range(3):
        false.append(Kind.BOOT, {"by": "the thief"}, "E0")
        false.checkpoint("L0")
    report = false.verify(accept=["E0", "L0"])
    assert (report.problems, report.covered) == ([], 3)
    assert [(one.role, one.last) for one in report.unaccepted] == [(ENTRY, 5), (LOG, 6)]


# --- two revocations of one key ---


def test_a_second_revocation_does_not_accept_what_the_key_signed_after_the_first_one() -> None:
    story = Story(bundles=[first_bundle("E0", "R0")])
    story.boots(2, "R0")
    story.boots(2)
    story.revoke(ENTRY, "R0", 4)
    story.boots(1, "R0")
    story.revoke(ENTRY, "R0", 1)
    story.checkpoint()
    report = story.verify(accept=["R0"])
    assert report.problems == [f"entry 5: signed by the key {short('R0')}…, which is revoked from 1 on"]
    assert report.unaccepted == []
    assert [one.sentence for one in report.revoked] == [disowned("entry 1", ENTRY, "R0", 1, 6)]


def test_a_log_without_one_of_two_revocations_that_the_bundle_has_fails() -> None:
    story = Story(bundles=[first_bundle("E0", "R0")])
    story.boots(2, "R0")
    story.revoke(ENTRY, "R0", 2)
    story.revoke(ENTRY, "R0", 1)
    story.checkpoint()
    assert story.verify(accept=["R0"]).ok
    for place in (2, 3):
        without = Story(bundles=story.bundles, entries=story.entries[:place])
        without.boots(1)
        if place == 2:
            without.revocation_entry(ENTRY, "R0", 1, "E0")
        without.checkpoint()
        problem = f"the entry key {short('R0')}… is to be revoked by entry {place}, and it is not"
        assert without.verify(accept=["R0"]).problems == [problem]


# --- what is accepted by nobody ---


def test_what_the_log_does_not_revoke_is_not_accepted_on_the_word_of_the_bundle_alone() -> None:
    story = rotated()
    bundle = story.bundles[-1].revoked(signer("E0").keyid, Revocation(3, 5, "stolen"))
    report = story.verify(bundle, accept=["E0"])
    assert report.problems == [f"the entry key {short('E0')}… is to be revoked by entry 5, and it is not"]


def test_a_key_that_goes_on_signing_after_its_revocation_is_wrong_whatever_is_accepted() -> None:
    story = Story(bundles=[first_bundle("E0", "R0")])
    story.boots(2, "R0")
    story.revoke(ENTRY, "R0", 1)
    story.boots(1, "R0")
    report = story.verify(accept=["R0"])
    assert report.problems == [f"entry 3: signed by the key {short('R0')}…, which is revoked from 1 on"]
    assert [(one.count, one.first) for one in report.revoked] == [(1, 1)]


def test_a_changed_entry_or_checkpoint_of_a_revoked_key_stays_a_problem_where_the_rest_is_accepted() -> None:
    story = stolen()
    moved = story.entries[4]
    story.entries[4] = replace(moved, index=4, entry=story.entries[3].entry)
    assert any(problem.startswith("entry 4: ") for problem in story.verify(accept=["E0", "L0"]).problems)
    story.entries[4] = moved
    forked = Story(entries=story.entries[:2])
    forked.append(Kind.BOOT, {"of": "another history"}, "E0")
    forked.boots(2)
    forked.checkpoint("L0")
    story.notes[1] = forked.notes[0]
    assert story.verify(accept=["E0", "L0"]).problems == ["checkpoint 5: its root is not that of the first 5 entries"]


def test_a_checkpoint_with_a_wrong_signature_by_a_key_that_counts_is_not_only_disowned() -> None:
    story = stolen()
    size, note = story.notes[2]  # by both log keys, at the rotation
    text, _, lines = note.partition("\n\n")
    first, second = lines.splitlines()
    wrong = second[:-8] + ("AAAAAA==" if not second.endswith("AAAAAA==") else "BBBBBA==")
    story.notes[2] = (size, f"{text}\n\n{first}\n{wrong}\n")
    assert story.verify(accept=["E0", "L0"]).problems == [f"checkpoint {size}: the checkpoint's signature does not match"]
