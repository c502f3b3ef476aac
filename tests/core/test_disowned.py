"""What a revocation disowns may be accepted by who names the key, and nothing else is."""

from dataclasses import replace

from gateway.core.entry import Kind
from gateway.core.trust import KeyRole, Revocation
from gateway.core.verify import MAX_PROBLEMS
from tests.core.key_story import Story, first_bundle, signer
from tests.core.test_trust import begun, disowned, rotated, short

ENTRY, LOG = KeyRole.ENTRY, KeyRole.LOG


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
    report = story.verify(accept=["E0"])
    assert (report.ok, report.size, report.revoked[0].count) == (True, story.size, MAX_PROBLEMS + 21)


def test_a_disowned_checkpoint_covers_nothing_even_where_it_is_accepted() -> None:
    story = begun()
    story.rotation_entry(LOG, "L0", "L1", "E0", "L0", "L1")  # and no checkpoint by the new key
    bundle = story.bundles[0].rotated(LOG, signer("L0").keyid, signer("L1").public(), 5)
    story.bundles.append(bundle)
    story.revoke(LOG, "L0", 3)
    report = story.verify(accept=["L0"])
    assert (report.ok, report.covered) == (True, 0)


def test_a_bundle_that_does_not_know_of_the_revocation_accepts_nothing() -> None:
    """Who copied the key could rotate it to one of his own and revoke it by that: only the bundle tells these two apart."""
    story = stolen()
    for bundle in story.bundles[:3]:
        report = story.verify(bundle, accept=["E0", "L0"])
        assert (report.ok, report.revoked) == (False, [])
        assert f"the key {short('E0')}… is revoked from 3 on, and signed entries up to 5" in report.problems[0]


def test_a_bundle_ahead_of_the_log_disowns_in_its_beginning_too() -> None:
    story = stolen()
    part = Story(entries=story.entries[:6], notes=story.notes[:2], bundles=story.bundles)
    assert part.verify(accept=["E0", "L0"]).ok
    assert part.disowned() == story.disowned()


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
