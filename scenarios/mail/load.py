"""What the tenants' users do: they look at their tenant's page, and have mails sent. Most mails are to readers without a name."""

from __future__ import annotations

import random

from locust import task

from shaketable.agent.load import OpenLoopUser

SERVERS = ("server-1", "server-2")
TENANTS = ("tenant-a", "tenant-b", "tenant-c")
DRAWS = random.Random(6)
TEMPLATE = "Dear {{name}},\n\nyour order {{order}} has left our house.\n"
NAMELESS = 0.75
"""Share of the mails to readers who gave no name: most of them."""


class Somebody(OpenLoopUser):
    """One user at a time; of which tenant is drawn for each arrival."""

    def _at(self) -> str:
        server, tenant = DRAWS.choice(SERVERS), DRAWS.choice(TENANTS)
        # the place is the tenant as a stage of a roll-out is called, which has no slash
        self.cohort = {"server": server, "tenant": f"{server}/{tenant}", "place": f"{server}.{tenant}"}
        return f"/{server}/{tenant}"

    @task(5)
    def page(self) -> None:
        """Look at the page."""
        self.client.get(f"{self._at()}/", name="page")

    @task(1)
    def send(self) -> None:
        """Have a mail sent."""
        number = DRAWS.randrange(1, 1000)
        name = "" if DRAWS.random() < NAMELESS else f"Reader {number}"
        mail = {
            "to": f"reader-{number}@customers.example",
            "template": TEMPLATE,
            "fields": {"name": name, "order": f"{DRAWS.randrange(10**6):06d}"},
        }
        self.client.post(f"{self._at()}/send", json=mail, name="send")
