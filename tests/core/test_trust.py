"""Which keys count where: rotations, revocations, and every way to tell a story that is not true."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.core.entry import Kind
from gateway.core.trust import KeyPeriod, KeyRole, Revocation, TrustedKeys, keyed, rotation
from tests.core.key_story import ORIGIN, Story, first_bundle, signer, told


def key(name: str, since: int = 0, until: int | None = None, revoked: Revocation | None = None) -> KeyPeriod:
    return KeyPeriod(signer(name).public(), since, until, revoked)


def short(name: str) -> str:
    return signer(name).keyid[:16]


def disowned(what: str, role: KeyRole, name: str, since: int, by: int) -> str:
    return f"{what}, signed by the {role} key {short(name)}…, which entry {by} revokes from {since} on: stolen"


# --- rotations ---


def test_a_log_whose_keys_were_rotated_verifies_with_every_bundle_there_ever_was() -> None:
    story = told()
    assert len(story.bundles) == 5
    for bundle in story.bundles:
        report = story.verify(bundle)
        assert (report.problems, report.size, report.covered) == ([], story.size, story.size)


def test_a_kept_checkpoint_of_any_time_still_holds() -> None:
    story = told()
    for bundle in (story.bundles[0], story.bundles[-1]):
        assert story.verify(bundle, kept=[note for _, note in story.notes]).ok


def test_the_beginning_of_a_log_verifies_with_a_bundle_that_is_ahead_of_it() -> None:
    story = told()
    ahead = story.bundles[-1]
    for size in range(story.size + 1):
        part = Story(entries=story.entries[:size], notes=[note for note in story.notes if note[0] <= size])
        assert part.problems(ahead) == []


def test_the_bundle_of_another_deployment_fails() -> None:
    problems = told().problems(first_bundle("X0", log="X1"))
    assert problems[0].startswith("entry 0: signed by the unknown key")
    assert any(problem.startswith("checkpoint 3: ") for problem in problems)
    assert told().problems(first_bundle("E0", origin="other.example/log"))


def begun() -> Story:
    story = Story()
    story.boots(4)
    story.checkpoint()
    return story


def one_more(story: Story, *by: str) -> Story:
    """An entry by the new key, as if the rotation had been one."""
    story.boots(1, by[0])
    return story


ENTRY, LOG = KeyRole.ENTRY, KeyRole.LOG

FALSE_ROTATIONS: dict[str, tuple[Callable[[Story], object], str]] = {
    "without the new key's signature": (
        lambda story: story.rotation_entry(ENTRY, "E0", "E1", "E0"),
        "entry 4: a rotation that is not signed by exactly",
    ),
    "of the log key without the old one's signature": (
        lambda story: story.rotation_entry(LOG, "L0", "L1", "E0", "L1"),
        "entry 4: a rotation that is not signed by exactly",
    ),
    "of the log key without the new one's signature": (
        lambda story: story.rotation_entry(LOG, "L0", "L1", "E0", "L0"),
        "entry 4: a rotation that is not signed by exactly",
    ),
    "of the log key by the log keys alone": (
        lambda story: story.rotation_entry(LOG, "L0", "L1", "L0", "L1"),
        "entry 4: signed by the key .*, which is not in force there",
    ),
    "forged by the new key alone": (
        lambda story: story.rotation_entry(ENTRY, "E0", "E1", "E1"),
        "entry 4: signed by the unknown key",
    ),
    "by the new key first": (
        lambda story: story.rotation_entry(ENTRY, "E0", "E1", "E1", "E0"),
        "entry 4: signed by the unknown key",
    ),
    "with a third signature": (
        lambda story: story.rotation_entry(ENTRY, "E0", "E1", "E0", "E1", "L0"),
        "entry 4: a rotation that is not signed by exactly",
    ),
    "with a stranger's signature": (
        lambda story: story.rotation_entry(ENTRY, "E0", "E1", "E0", "E1", "X"),
        "entry 4: signed by the unknown key",
    ),
    "to itself": (
        lambda story: story.rotation_entry(ENTRY, "E0", "E0", "E0"),
        "entry 4: brings the key .*, which is known already",
    ),
    "to a key of the other role": (
        lambda story: story.rotation_entry(ENTRY, "E0", "L0", "E0", "L0"),
        "entry 4: brings the key .*, which is known already",
    ),
    "of a key that never was in force": (
        lambda story: story.rotation_entry(ENTRY, "X", "E1", "E0", "E1"),
        "entry 4: a rotation that is not signed by exactly",
    ),
    "of the entry key in the role of the log": (
        lambda story: story.rotation_entry(LOG, "E0", "L1", "E0", "L1"),
        "entry 4: rotates the log key .*, which is not in force there",
    ),
    "that is another kind of entry": (
        lambda story: story.append(Kind.BOOT, rotation(ENTRY, signer("E0").public(), signer("E1").public()), "E0", "E1"),
        "entry 4: an entry of kind boot with 2 signatures",
    ),
    "that tells of no key": (
        lambda story: story.append(Kind.KEY, {"key": {"event": "rotated", "role": "entry"}}, "E0"),
        "entry 4: not a key event",
    ),
    "with more in it": (
        lambda story: story.append(
            Kind.KEY, {"key": {**rotation(ENTRY, signer("E0").public(), signer("E1").public())["key"], "x": 1}}, "E0", "E1"
        ),
        "entry 4: not a key event",
    ),
}


@pytest.mark.parametrize("false", FALSE_ROTATIONS)
def test_a_rotation_that_is_none_is_named_and_its_key_does_not_count(false: str) -> None:
    rotate, problem = FALSE_ROTATIONS[false]
    story = begun()
    rotate(story)
    assert [found for found in story.problems() if re.match(problem, found)], story.problems()
    story.boots(1, "E1")
    assert any(found.startswith("entry 5: signed by the ") for found in story.problems())


def test_a_rotation_told_a_second_time_is_named() -> None:
    story = told()
    story.rotation_entry(ENTRY, "E0", "E1", "E2", "E0", "E1")
    (problem,) = story.problems()
    assert problem.startswith(f"entry {story.size - 1}: brings the key {short('E1')}")
    assert story.problems(story.bundles[0]) == [problem]


def test_a_key_of_the_past_does_not_come_back() -> None:
    story = told()
    story.rotation_entry(ENTRY, "E2", "E0", "E2", "E0")
    (problem,) = story.problems()
    assert problem.startswith(f"entry {story.size - 1}: brings the key {short('E0')}…, which is known already")


def test_an_old_key_does_not_rotate_again() -> None:
    story = told()
    story.rotation_entry(ENTRY, "E0", "X", "E0", "X")
    story.boots(1, "X")
    for bundle in (story.bundles[0], story.bundles[-1]):
        first, second = story.problems(bundle)
        assert first.startswith(f"entry {story.size - 2}: signed by the key {short('E0')}…, which is not in force there")
        assert second.startswith(f"entry {story.size - 1}: signed by the unknown key")


def test_an_old_key_does_not_sign_even_the_entry_after_its_rotation() -> None:
    story = begun()
    story.rotate_entry_key("E1")
    story.boots(1, "E0")
    for bundle in story.bundles:
        assert story.problems(bundle) == [f"entry 5: signed by the key {short('E0')}…, which is not in force there"]


@pytest.mark.parametrize("bundle", [0, -1])
def test_an_old_key_signs_nothing_after_its_end(bundle: int) -> None:
    story = told()
    story.boots(1, "E0")
    story.boots(1, "E1")
    story.checkpoint("L0")
    assert story.problems(story.bundles[bundle]) == [
        f"entry {story.size - 2}: signed by the key {short('E0')}…, which is not in force there",
        f"entry {story.size - 1}: signed by the key {short('E1')}…, which is not in force there",
        f"checkpoint {story.size}: the checkpoint carries no signature by the log's key",
    ]


def test_a_new_key_signs_nothing_before_its_beginning() -> None:
    story = begun()
    story.boots(1, "E1")
    story.checkpoint("L1")
    story.rotate_entry_key("E1")
    story.rotate_log_key("L1")
    assert story.problems() == [
        f"entry 4: signed by the key {short('E1')}…, which is not in force there",
        "checkpoint 5: the checkpoint carries no signature by the log's key",
    ]
    assert story.problems(story.bundles[0])[0].startswith("entry 4: signed by the unknown key")


def test_the_checkpoint_that_ends_with_a_rotation_counts_with_either_signature() -> None:
    for by in (("L0",), ("L1",), ("L0", "L1")):
        story = begun()
        story.rotation_entry(LOG, "L0", "L1", "E0", "L0", "L1")
        story.checkpoint(*by)
        assert story.problems() == []


# --- revocations ---


def test_what_a_revoked_key_signed_from_there_on_is_counted_with_its_places_and_the_reason() -> None:
    story = begun()
    story.rotate_entry_key("E1")
    story.boots(3)
    story.revoke(ENTRY, "E0", 2)
    assert story.problems() == []
    assert story.disowned() == [disowned("3 entries, 2 to 4", ENTRY, "E0", 2, 8)]
    (told,) = story.verify().revoked
    assert (told.role, told.keyid, told.count, told.first, told.last) == (ENTRY, signer("E0").keyid, 3, 2, 4)
    assert told.revocation == Revocation(2, 8, "stolen")


def test_a_bundle_from_before_the_revocation_fails_too() -> None:
    story = begun()
    story.rotate_entry_key("E1")
    story.boots(3)
    story.revoke(ENTRY, "E0", 2)
    for bundle in story.bundles[:2]:
        assert story.problems(bundle) == [
            f"entry 8: the key {short('E0')}… is revoked from 2 on, and signed entries up to 4"
        ]


def test_a_revocation_from_the_end_of_a_key_on_puts_nothing_in_doubt() -> None:
    story = begun()
    story.rotate_entry_key("E1")
    story.rotate_log_key("L1")
    story.revoke(ENTRY, "E0", 5)
    story.revoke(LOG, "L0", 6)
    for bundle in story.bundles:
        assert story.problems(bundle) == []


def test_checkpoints_by_a_revoked_log_key_count_for_nothing() -> None:
    story = begun()
    story.boots(1)
    story.checkpoint()
    story.rotate_log_key("L1")
    story.revoke(LOG, "L0", 4)
    assert (story.problems(), story.disowned()) == ([], [disowned("checkpoint 5", LOG, "L0", 4, 6)])
    assert story.verify().covered == 6, "the checkpoint that ends with the rotation has the new key's signature"
    assert story.problems(story.bundles[0]) == [
        f"entry 6: the key {short('L0')}… is revoked from 4 on, and signed checkpoints up to 5"
    ]


def test_a_checkpoint_that_repeats_a_revoked_keys_signature_is_still_found() -> None:
    story = begun()
    story.boots(1)
    story.checkpoint("L0", "L0")
    story.rotate_log_key("L1")
    story.revoke(LOG, "L0", 4)
    assert len(story.problems(story.bundles[0])) == 1


def test_a_kept_checkpoint_by_a_revoked_log_key_counts_for_nothing() -> None:
    story = begun()
    story.rotate_log_key("L1")
    story.revoke(LOG, "L0", 3)
    kept = story.notes.pop(0)[1]
    assert story.disowned(kept=[kept]) == [disowned("checkpoint 4", LOG, "L0", 3, 5)]
    story.notes.insert(0, (4, kept))
    assert story.disowned(kept=[kept]) == [disowned("checkpoint 4", LOG, "L0", 3, 5)], "stored and kept, it is one"


def test_a_second_revocation_counts_where_it_reaches_further_back() -> None:
    story = begun()
    story.rotate_entry_key("E1")
    story.revoke(ENTRY, "E0", 4)
    story.revoke(ENTRY, "E0", 3)
    story.revoke(ENTRY, "E0", 4)
    assert (story.problems(), story.disowned()) == ([], [disowned("2 entries, 3 to 4", ENTRY, "E0", 3, 6)])
    assert [problem[:8] for problem in story.problems(story.bundles[0])] == ["entry 5:", "entry 6:"]
    assert [problem[:8] for problem in story.problems(story.bundles[2])] == ["entry 6:"], "it knows the first one only"


def rotated() -> Story:
    story = begun()
    story.rotate_entry_key("E1")
    story.rotate_log_key("L1")
    return story


FALSE_REVOCATIONS: dict[str, tuple[Callable[[Story], object], str]] = {
    "by nobody we know": (lambda story: story.revocation_entry(ENTRY, "E0", 3, "X"), "entry 6: signed by the unknown key"),
    "by the revoked key, whose time is over": (
        lambda story: story.revocation_entry(ENTRY, "E0", 3, "E0"),
        "entry 6: signed by the key .*, which is not in force there",
    ),
    "by the key itself": (lambda story: story.revocation_entry(ENTRY, "E1", 5, "E1"), "entry 6: the key .* revokes itself"),
    "by a log key": (
        lambda story: story.revocation_entry(ENTRY, "E0", 3, "L1"),
        "entry 6: signed by the key .*, which is not in force there",
    ),
    "with two signatures": (
        lambda story: story.revocation_entry(ENTRY, "E0", 3, "E1", "L1"),
        "entry 6: a revocation that is not signed by the gateway's key alone",
    ),
    "of a stranger": (lambda story: story.revocation_entry(ENTRY, "X", 3, "E1"), "entry 6: revokes the entry key"),
    "in the wrong role": (lambda story: story.revocation_entry(LOG, "E0", 3, "E1"), "entry 6: revokes the log key"),
    "of the only log key": (
        lambda story: story.revocation_entry(LOG, "L1", 3, "E1"),
        "entry 6: revokes the key .*, and then no log key is in force",
    ),
    "for the future": (
        lambda story: story.revocation_entry(ENTRY, "E0", 7, "E1"),
        "entry 6: revokes the key .* from 7 on, which is not in the past",
    ),
    "from before the beginning": (
        lambda story: story.revocation_entry(ENTRY, "E0", -1, "E1"),
        "entry 6: revokes the key .* from -1 on",
    ),
}


@pytest.mark.parametrize("false", FALSE_REVOCATIONS)
def test_a_revocation_that_is_none_is_named_and_revokes_nothing(false: str) -> None:
    revoke, problem = FALSE_REVOCATIONS[false]
    story = rotated()
    revoke(story)
    found = story.problems()
    assert len(found) == 1, found
    assert re.match(problem, found[0]), found


def test_what_a_revoked_key_brought_counts_only_if_the_bundle_says_so_too() -> None:
    story = begun()
    story.rotate_log_key("L1")  # entry 4, by E0
    story.rotate_entry_key("E1")
    story.revoke(ENTRY, "E0", 4)
    named = [disowned("2 entries, 4 to 5", ENTRY, "E0", 4, 6)]
    assert (story.problems(), story.disowned()) == ([], named)
    other = replace(story.bundles[-1], log_keys=keyed(key("L0")))  # a bundle that never heard of L1
    assert story.disowned(other) == named
    assert story.problems(other)[0] == f"entry 4: brings the key {short('L1')}… on the word of a revoked one"


def test_a_revoked_key_revokes_nobody() -> None:
    story = begun()
    story.rotate_log_key("L1")
    story.revocation_entry(LOG, "L0", 3, "E0")  # entry 5, in doubt itself as soon as E0 is revoked
    story.rotate_entry_key("E1")
    story.revoke(ENTRY, "E0", 5)
    assert story.problems() == [f"entry 5: revokes the key {short('L0')}… on the word of a revoked one"]
    assert story.disowned() == [disowned("2 entries, 5 to 6", ENTRY, "E0", 5, 7)]
    assert not story.verify(accept=["E0"]).ok


# --- several replicas ---


def test_replicas_sign_with_their_own_keys_and_rotate_alone() -> None:
    story = Story(bundles=[first_bundle("E0", "R0")])
    for by in ("E0", "R0", "R0", "E0"):
        story.boots(1, by)
    story.rotate_entry_key("E1")
    for by in ("R0", "E1", "R0"):
        story.boots(1, by)
    assert story.problems() == []
    assert story.problems(story.bundles[0]) == []
    story.boots(1, "E0")
    assert story.problems() == [f"entry 8: signed by the key {short('E0')}…, which is not in force there"]


def test_a_lost_replicas_key_is_revoked_by_another_replica() -> None:
    story = Story(bundles=[first_bundle("E0", "R0")])
    story.boots(2, "R0")
    story.revoke(ENTRY, "R0", 2)
    assert [story.problems(bundle) for bundle in story.bundles] == [[], []]
    story.boots(1, "R0")
    for bundle in story.bundles:
        assert story.problems(bundle) == [f"entry 3: signed by the key {short('R0')}…, which is revoked from 2 on"]
    story.rotation_entry(ENTRY, "R0", "X", "E0", "R0", "X")
    assert story.problems()[1].startswith("entry 4: brings the key")


def ahead() -> TrustedKeys:
    """A bundle of two replicas that were both rotated: one at entry 4, the other at entry 8."""
    bundle = first_bundle("E0", "R0")
    bundle = bundle.rotated(ENTRY, signer("E0").keyid, signer("E1").public(), 5)
    return bundle.rotated(ENTRY, signer("R0").keyid, signer("R1").public(), 9)


@pytest.mark.parametrize(("old", "new"), [("R0", "E1"), ("E0", "R1"), ("R1", "X")])
def test_a_rotation_pairs_the_keys_that_the_bundle_pairs(old: str, new: str) -> None:
    story = begun()
    story.rotation_entry(ENTRY, old, new, "E0", *({old, new} - {"E0"}))
    problems = story.problems(ahead())
    assert problems[0].startswith("entry 4: "), problems
    assert problems[-1] == f"the entry key {short('E1')}… is to count from 5 on, and no entry introduces it"


def test_a_key_is_not_revoked_before_it_begins() -> None:
    story = begun()
    story.revocation_entry(ENTRY, "R1", 4, "E0")
    problem, _ = story.problems(ahead())  # the other: the bundle wanted a rotation there
    assert problem == f"entry 4: revokes the entry key {short('R1')}…, which never was in force"


# --- the bundle tells another story ---


def test_a_bundle_that_names_a_rotation_which_the_log_does_not_tell_fails() -> None:
    story = begun()
    bundle = story.bundles[0].rotated(ENTRY, signer("E0").keyid, signer("E1").public(), 4)
    assert story.problems(bundle) == [f"the entry key {short('E1')}… is to count from 4 on, and no entry introduces it"]
    later = story.bundles[0].rotated(ENTRY, signer("E0").keyid, signer("E1").public(), 5)
    assert story.problems(later) == []


def test_a_bundle_that_names_a_revocation_which_the_log_does_not_tell_fails() -> None:
    story = rotated()
    bundle = story.bundles[-1].revoked(signer("E0").keyid, Revocation(5, 5, "stolen"))
    assert story.problems(bundle) == [f"the entry key {short('E0')}… is to be revoked by entry 5, and it is not"]


@pytest.mark.parametrize("place", [4, 6])
def test_a_rotation_elsewhere_than_the_bundle_says_fails(place: int) -> None:
    story = begun()
    story.rotate_entry_key("E1")
    story.boots(2, "E1")
    bundle = story.bundles[0].rotated(ENTRY, signer("E0").keyid, signer("E1").public(), place)
    assert any(problem.startswith("entry 4: ") for problem in story.problems(bundle))


def test_a_rotation_to_another_key_than_the_bundle_says_fails() -> None:
    story = begun()
    story.rotate_entry_key("E1")
    bundle = story.bundles[0].rotated(ENTRY, signer("E0").keyid, signer("X").public(), 5)
    assert story.problems(bundle)[0].startswith(f"entry 4: rotates the entry key {short('E0')}")


CONTRADICTIONS: list[tuple[list[KeyPeriod], list[KeyPeriod], str]] = [
    ([], [key("L")], "no entry key counts from the beginning"),
    ([key("E")], [], "no log key counts from the beginning"),
    ([key("E", 5)], [key("L")], "the entry keys do not follow each other"),
    ([key("E", 0, 5)], [key("L")], "the entry keys do not follow each other"),
    ([key("E", 0, 5), key("F", 6)], [key("L")], "the entry keys do not follow each other"),
    ([key("E"), key("F", 6)], [key("L")], "the entry keys do not follow each other"),
    ([key("E", 0, 5), key("F", 5), key("G", 5)], [key("L")], "the entry keys do not follow each other"),
    ([key("E", 0, 5), key("F", 5)], [key("L", 0, 5), key("M", 5)], "one entry cannot have introduced two keys"),
    ([key("E", 0, 0)], [key("L")], "ends before it begins"),
    ([key("E", 0, 5), key("F", 5, 3), key("G", 3)], [key("L")], "ends before it begins"),
    ([key("E", -1)], [key("L")], "ends before it begins"),
    ([key("E")], [key("E")], "is both an entry key and a log key"),
    ([key("E", 0, None, Revocation(3, 9, ""))], [key("L")], "no entry key is in force"),
    ([key("E"), key("F", 0, None, Revocation(9, 3, ""))], [key("L")], "is revoked from 9 on by entry 3"),
    ([key("E"), key("F", 0, None, Revocation(-1, 3, ""))], [key("L")], "is revoked from -1 on by entry 3"),
]


@pytest.mark.parametrize(("entry", "log", "problem"), CONTRADICTIONS)
def test_a_bundle_that_contradicts_itself_cannot_be_made(entry: list[KeyPeriod], log: list[KeyPeriod], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        TrustedKeys(keyed(*entry), keyed(*log), ORIGIN)


def test_a_key_under_another_keys_id_cannot_be_in_a_bundle() -> None:
    with pytest.raises(ValueError, match="is not that of its key"):
        TrustedKeys({signer("F").keyid: key("E")}, keyed(key("L")), ORIGIN)
