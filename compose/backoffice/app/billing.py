"""What is to be paid. `GET /invoice`: the next invoice. `GET /health` also tells the load: invoices of the last second.

The registrar publishes that load with the service's entry, so that whoever has many invoices to draw can go to the
instance with the least to do.
"""

from __future__ import annotations

import collections
import itertools
import json
import time

from httpd import Server

VAT_PERCENT = 19
_numbers = itertools.count(1)
_drawn: collections.deque[float] = collections.deque(maxlen=10_000)


def load() -> int:
    """Invoices drawn in the last second."""
    second_ago = time.monotonic() - 1.0
    while _drawn and _drawn[0] < second_ago:
        _drawn.popleft()
    return len(_drawn)


def invoice() -> dict[str, int]:
    """Draw the next invoice; amounts in cents."""
    number = next(_numbers)
    net = sum(495 + 100 * ((number * line) % 16) for line in range(1, 5))
    tax = (net * VAT_PERCENT + 50) // 100
    _drawn.append(time.monotonic())
    return {"invoice": number, "net": net, "tax": tax, "total": net + tax}


def answer(path: str) -> str | None:
    """Answer a request by its path."""
    if path == "/invoice":
        return json.dumps(invoice())
    if path == "/health":
        return f'{{"status": "up", "load": {load()}}}'
    return None


if __name__ == "__main__":
    Server(8004, answer).run_until_sigterm()
