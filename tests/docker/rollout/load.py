"""Visitors of each pod."""

import random

from locust import task

from shaketable.agent.load import OpenLoopUser

PODS = ("canary", "pod-17", "pod-18")


class Visitor(OpenLoopUser):
    """Asks for the page of some pod."""

    def on_start(self) -> None:
        """Draw from a generator of its own."""
        self.draws = random.Random()

    @task
    def page(self) -> None:
        """One page."""
        pod = self.draws.choice(PODS)
        self.cohort = {"pod": pod}
        self.client.get(f"/{pod}", name="page")
