"""The API of the public document, for real: planets in memory, behind an API key."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from tests.openapi.stub import Reply, Seen, as_json

API_KEY = "galaxy-key"


@dataclass
class Planets:
    """`planets` by id. `timing_out`: names of planets that are made, and then a gateway in front answers 504."""

    planets: dict[int, Any] = field(default_factory=lambda: {1: {"id": 1, "name": "Mars"}})
    timing_out: set[str] = field(default_factory=set)
    keys: list[str] = field(default_factory=list)

    def answer(self, seen: Seen) -> Reply:
        """One request."""
        if seen.headers.get("x-api-key") != API_KEY:
            return as_json({"detail": "who are you?"}, 401)
        if "idempotency-key" in seen.headers:
            self.keys.append(seen.headers["idempotency-key"])
        one = re.fullmatch(r"/planets/(\d+)", seen.target)
        if seen.method == "POST" and seen.target == "/planets":
            number = max(self.planets, default=0) + 1
            self.planets[number] = {**json.loads(seen.body), "id": number}
            return Reply(504) if self.planets[number]["name"] in self.timing_out else as_json(self.planets[number], 201)
        if seen.method == "GET" and seen.target.startswith("/planets?"):
            return as_json({"data": list(self.planets.values())})
        if one is None or int(one[1]) not in self.planets:
            return as_json({"title": "Not Found", "status": 404}, 404)
        if seen.method == "DELETE":
            del self.planets[int(one[1])]
            return Reply(204)
        return as_json(self.planets[int(one[1])])
