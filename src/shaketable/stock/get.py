"""The load of the stock scenarios: GET of one path, or of one of several: `http://web:8080/{orders,health}`."""

from __future__ import annotations

import random
import re
from urllib.parse import urlsplit

from locust import task

from shaketable.agent.load import OpenLoopUser


def urls(target: str) -> list[str]:
    """Write `{a,b}` out, as curl does."""
    braces = re.search(r"\{([^{}]*)\}", target)
    if braces is None:
        return [target]
    return [url for part in braces[1].split(",") for url in urls(target.replace(braces[0], part.strip(), 1))]


class Visitor(OpenLoopUser):
    """Asks for one of the URLs, each by the name of its path."""

    @task
    def get(self) -> None:
        """One request."""
        url = random.choice(urls(self.host or ""))
        self.client.get(url, name=urlsplit(url).path or "/")
