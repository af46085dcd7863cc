"""What the users of the ledger do: store entries, in PostgreSQL and in Redis."""

from locust import task

from shaketable.agent.load import OpenLoopUser


class Writer(OpenLoopUser):
    """Stores one entry at a time."""

    @task
    def postgresql(self) -> None:
        """One entry in PostgreSQL."""
        self.client.post("/postgresql", name="postgresql")

    @task
    def redis(self) -> None:
        """One entry in Redis."""
        self.client.post("/redis", name="redis")
