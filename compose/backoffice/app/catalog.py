"""What the shop sells. `GET /featured`: four articles, other ones each time."""

from __future__ import annotations

import itertools
import json

from httpd import Server

NAMES = [
    f"{colour} {thing}" for colour in ("blue", "green", "red", "white") for thing in ("bowl", "cup", "jug", "plate")
]
ARTICLES = [{"article": number, "name": name, "cents": 495 + 100 * number} for number, name in enumerate(NAMES, 1)]
_shelves = itertools.cycle([ARTICLES[first : first + 4] for first in range(0, len(ARTICLES), 4)])


def answer(path: str) -> str | None:
    """Answer a request by its path."""
    if path == "/featured":
        return json.dumps(next(_shelves))
    if path == "/health":
        return '{"status": "up"}'
    return None


if __name__ == "__main__":
    Server(8001, answer).run_until_sigterm()
