"""Where a pod's subscriptions are, as the migration tells the pod's services: `POST /mode {mode, share}`.

`old`: in the shared store. `dual`: written to both, read from the old one. `new`: written to both, read from the new one.
`alone`: for `share` percent of the agents the new one alone, for the others as `dual`.
"""

from __future__ import annotations

from aiohttp import web

AGENTS = 12
"""Of each pod: agent-00 and so on."""


class Mode:
    """What was told last; `old` until then. The migration tells it again and again, so a restart forgets it shortly."""

    def __init__(self) -> None:
        self.mode, self.share = "old", 0

    async def take(self, request: web.Request) -> web.Response:
        """Be told."""
        told = await request.json()
        self.mode, self.share = str(told["mode"]), int(told["share"])
        return web.Response()

    def _alone(self, agent: str) -> bool:
        return self.mode == "alone" and place(agent) < self.share

    def writes_old(self, agent: str) -> bool:
        """Whether the old storage still gets this agent's subscriptions."""
        return not self._alone(agent)

    def writes_new(self) -> bool:
        """Whether the new storage gets subscriptions."""
        return self.mode != "old"

    def reads_new(self, agent: str) -> bool:
        """Whether this agent's subscriptions are looked up in the new storage."""
        return self.mode == "new" or self._alone(agent)


def place(agent: str) -> int:
    """Where an agent stands among all, 0 to 99: those with a small number are moved first."""
    return int(agent.removeprefix("agent-")) * 100 // AGENTS
