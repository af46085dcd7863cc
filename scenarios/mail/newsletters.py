"""What the tenants' users do in a time of newsletters: long mails, each with a text of its own."""

from __future__ import annotations

import random

from locust import task

from shaketable.agent.load import OpenLoopUser

SERVERS = ("server-1", "server-2")
TENANTS = ("tenant-a", "tenant-b", "tenant-c")
DRAWS = random.Random(6)
WORDS = ("spring", "offer", "winter", "wool", "news", "from", "our", "house", "and", "garden", "for", "you")
LINES = 400


class Editor(OpenLoopUser):
    """One user at a time; of which tenant is drawn for each arrival."""

    def _at(self) -> str:
        server, tenant = DRAWS.choice(SERVERS), DRAWS.choice(TENANTS)
        self.cohort = {"server": server, "tenant": f"{server}/{tenant}"}
        return f"/{server}/{tenant}"

    @task(1)
    def page(self) -> None:
        """Look at the page."""
        self.client.get(f"{self._at()}/", name="page")

    @task(2)
    def send(self) -> None:
        """Have a newsletter sent."""
        line = " ".join(DRAWS.choices(WORDS, k=12))
        mail = {
            "to": f"reader-{DRAWS.randrange(1, 1000)}@customers.example",
            "template": f"Dear {{{{name}}}},\n\n{(line + chr(10)) * LINES}",
            "fields": {"name": "reader"},
        }
        self.client.post(f"{self._at()}/send", json=mail, name="send")
