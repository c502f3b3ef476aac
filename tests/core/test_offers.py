"""Offers of changes are kept within bounds, and who asks for many loses their own only."""

from dataclasses import replace

from gateway.core.offer import Offer
from gateway.core.offers import MOST, MOST_OF_A_REQUEST, Offers
from tests.core.test_approval import INSTEAD, REQUEST


def offer(of: str, name: str) -> Offer:
    """To ask `name` in the place of `of`."""
    return Offer(replace(REQUEST, approval_id=of), replace(INSTEAD, approval_id=name, modified_from=of), b"{}")


def test_the_oldest_of_many_for_one_request_gives_way() -> None:
    offers = Offers()
    offers.keep(offer("other", "other's"), "ann")
    for number in range(MOST_OF_A_REQUEST + 1):
        offers.keep(offer("one", f"one {number}"), "ann")
    assert offers.find("one 0") is None
    assert offers.find("one 1") is not None
    assert offers.find("other's") is not None


def test_the_oldest_of_many_of_one_asker_gives_way_and_none_of_another() -> None:
    offers = Offers()
    offers.keep(offer("0", "ann's"), "ann")
    for number in range(MOST + 1):
        offers.keep(offer(str(number), f"bob's {number}"), "bob")
    assert offers.find("bob's 0") is None
    assert offers.find("bob's 1") is not None
    assert offers.find("ann's") is not None


def test_an_offer_that_was_taken_is_forgotten() -> None:
    offers = Offers()
    offers.keep(offer("one", "taken"), "ann")
    offers.forget("taken")
    offers.forget("taken")
    assert offers.find("taken") is None
