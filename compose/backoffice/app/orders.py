"""What was ordered. `GET /open`: the orders that are still to be packed, the oldest first."""

from __future__ import annotations

import collections
import itertools
import json

from httpd import Server

_numbers = itertools.count(7001)
_open: collections.deque[dict[str, int]] = collections.deque(maxlen=6)


def _order() -> dict[str, int]:
    number = next(_numbers)
    return {"order": number, "article": number % 16 + 1, "customer": number % 5 + 1, "pieces": number % 3 + 1}


def answer(path: str) -> str | None:
    """Answer a request by its path."""
    if path == "/open":
        _open.append(_order())
        return json.dumps(list(_open))
    if path == "/health":
        return '{"status": "up"}'
    return None


if __name__ == "__main__":
    Server(8002, answer).run_until_sigterm()
