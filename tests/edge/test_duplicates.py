"""Many calls with one key, at once, of both protocol eras: one effect, and one result byte for byte."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.edge.box import Box
from tests.edge.clients import HandshakeClient
from tests.running import ModernClient, outcome


def test_fifty_simultaneous_calls_of_both_eras_share_one_effect_and_one_result(box: Box) -> None:
    def one(number: int) -> dict[str, Any]:
        kind = ModernClient if number % 2 else HandshakeClient
        with kind(box.gateway) as client:
            return client.call("box__add_row", {"text": "both eras"}, key="both eras")

    with ThreadPoolExecutor(50) as crowd:
        responses = list(crowd.map(one, range(50)))
    assert Counter(outcome(response)["outcome"] for response in responses) == {"completed": 1, "replayed": 49}
    for response in responses:
        for key in ("_meta", "resultType"):  # the receipt is each call's own, the second a word of the newer era
            response["result"].pop(key, None)
    assert len({json.dumps(response["result"]) for response in responses}) == 1
    assert box.lines("rows").count("add_row both eras") == 1
