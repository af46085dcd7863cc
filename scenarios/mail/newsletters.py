"""What the tenants' users do in a time of newsletters: long mails, each with a text of its own.

They go out by a plan, one tenant after the other: were tenants drawn, how many mails one has had by now would wander
about, and that of its memory which they take with it. Nobody could tell such a walk from a leak in half a minute.
"""

from __future__ import annotations

import random
from itertools import count

from locust import task

from shaketable.agent.load import OpenLoopUser

SERVERS = ("server-1", "server-2")
TENANTS = ("tenant-a", "tenant-b", "tenant-c")
PLACES = [(server, tenant) for server in SERVERS for tenant in TENANTS]
TURNS = count()
DRAWS = random.Random(6)
WORDS = ("spring", "offer", "winter", "wool", "news", "from", "our", "house", "and", "garden", "for", "you")
LINES = 400


class Editor(OpenLoopUser):
    """One user at a time: of three that a tenant has, one looks at its page and two have a newsletter sent."""

    @task
    def next_one(self) -> None:
        """Do what is next in the plan."""
        turn, place = divmod(next(TURNS), len(PLACES))
        server, tenant = PLACES[place]
        self.cohort = {"server": server, "tenant": f"{server}/{tenant}"}
        at = f"/{server}/{tenant}"
        if turn % 3:
            self._send(at)
        else:
            self.client.get(f"{at}/", name="page")

    def _send(self, at: str) -> None:
        line = " ".join(DRAWS.sample(WORDS, k=len(WORDS)))
        mail = {
            "to": f"reader-{DRAWS.randrange(1, 1000)}@customers.example",
            "template": f"Dear {{{{name}}}},\n\n{(line + chr(10)) * LINES}",
            "fields": {"name": "reader"},
        }
        self.client.post(f"{at}/send", json=mail, name="send")
