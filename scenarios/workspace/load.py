"""What agents and customers do in the three pods: agents connect and accept chats, customers write and open tickets."""

from __future__ import annotations

import random

from locust import task

from shaketable.agent.load import OpenLoopUser

PODS = ("canary", "pod-17", "pod-18")
AGENTS = tuple(f"agent-{number:02d}" for number in range(12))
DRAWS = random.Random(17)


class Somebody(OpenLoopUser):
    """One agent or customer at a time; of which pod is drawn for each arrival."""

    def _ask(self, what: str, **words: str) -> None:
        pod = DRAWS.choice(PODS)
        self.cohort = {"pod": pod}
        query = "".join(f"?{name}={word}" for name, word in words.items())
        self.client.post(f"/{pod}/{what}{query}", name=what)

    @task(8)
    def accept_chat(self) -> None:
        """Press the button "accept chat"."""
        self._ask("accept-chat", agent=DRAWS.choice(AGENTS))

    @task(4)
    def connect(self) -> None:
        """Open the workspace, or come back to it."""
        self._ask("connect", agent=DRAWS.choice(AGENTS))

    @task(8)
    def event(self) -> None:
        """Write to one's agent."""
        self._ask("event", agent=DRAWS.choice(AGENTS))

    @task(8)
    def open_ticket(self) -> None:
        """Open a ticket."""
        self._ask("open-ticket")
