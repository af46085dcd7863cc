"""Databases of a lane, asked about their sessions: holders of the kind `database`, one thread for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from shaketable.adapters.fault_agent import Witness
from shaketable.model.history import Look, LookBeat
from shaketable.model.scenario import Holder
from shaketable.run.beside import Beside, Values
from shaketable.run.running import Places

_COMPLAIN = 5.0
"""Seconds for which something cannot be read before a person is told; during a fault it may well be for a while."""


class Databases:
    """Looks at all of them until it is stopped. Raises AgentError for an instance that has never run."""

    def __init__(
        self,
        holders: Mapping[str, Holder],
        where: Places,
        witness: Witness,
        *,
        on_look: Callable[[Look], None],
        on_beat: Callable[[LookBeat], None],
        on_error: Callable[[str], None] = lambda _: None,
    ) -> None:
        looks = {name: look_of(name, holder, where) for name, holder in holders.items()}
        self._watches = [
            Beside(
                [name],
                holder.pace or 0.0,
                witness,
                Asking(name, looks[name], on_error).take,
                on_look=on_look,
                on_beat=on_beat,
            )
            for name, holder in holders.items()
        ]

    def stop(self) -> None:
        """Look no more."""
        for watch in self._watches:
            watch.stop()

    @property
    def lost(self) -> bool:
        """Whether the witness that looks is gone, or gives no answer any more."""
        return any(watch.lost for watch in self._watches)


def look_of(name: str, holder: Holder, where: Places) -> Mapping[str, Any]:
    """What a holder asks a witness for. Raises AgentError when its instance is nowhere."""
    return {
        "see": "database",
        "holder": name,
        "member": holder.instance,
        **where.of(holder.instance or ""),
        "lists": dict(holder.lists),
        "gauges": dict(holder.gauges),
        "user": holder.user,
        "password": holder.password,
        "socket": holder.socket,
        "database": holder.database,
    }


class Asking:
    """One holder's looks, and what a person has been told of those that failed."""

    def __init__(self, name: str, look: Mapping[str, Any], on_error: Callable[[str], None]) -> None:
        self._name, self._look, self._on_error = name, look, on_error
        self._unread: dict[str, float] = {}
        self._told: set[tuple[str, str]] = set()

    def take(self, witness: Witness) -> tuple[float, Values]:
        """One look: its moment, and what was seen. Raises AgentError."""
        seen = witness.look({"x": self._look})["x"]
        at, names = float(seen["at"]), [*self._look["lists"], *self._look["gauges"]]
        values = seen.get("values", {})
        for name in names:
            self._unreadable(at, name, str(seen.get("error") or seen.get("why", {}).get(name, "")))
        found = {name: values.get(name) for name in names}
        return at, {(self._name, name): None if row is None else tuple(row) for name, row in found.items()}

    def _unreadable(self, at: float, name: str, why: str) -> None:
        """Tell a person, once for each reason, what cannot be read for some time; without a reason it could be read."""
        if not why:
            self._unread.pop(name, None)
        elif (
            at - self._unread.setdefault(name, at) > _COMPLAIN
            and (name, why) not in self._told
            and len(self._told) < 20
        ):
            self._told.add((name, why))
            self._on_error(f"{name} of {self._name} ({self._look['member']}) could not be read: {why}")
