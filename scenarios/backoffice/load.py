"""What the users of the back office do: open pages."""

from locust import task

from shaketable.agent.load import OpenLoopUser


class Visitor(OpenLoopUser):
    """Opens the overview page, which is built from calls to all four services."""

    @task
    def overview(self) -> None:
        """One page view."""
        self.client.get("/page", name="overview")
