"""What the users of the shops' inbox do. Shops have had the app for long; now and then a new user installs it.

An app is as its library is: up to 2.0 it read the version that a profile has consented to when it opened its privacy page,
and a fresh profile has consented to none. An app that is told that the network is disconnected has its user log in again.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from typing import Any

from locust import task

from shaketable.agent.load import OpenLoopUser

SHOPS = [f"shop-{number:02d}" for number in range(40)]
PLANS = {shop: "paid" if number // 4 % 3 == 0 else "free" for number, shop in enumerate(SHOPS)}
SESSIONS = {shop: hashlib.sha256(f"phone of {shop}".encode()).hexdigest()[:32] for shop in SHOPS}
"""What the shops' phones remember."""
DRAWS = random.Random(4)

Profile = dict[str, Any]
App = tuple[str, str]
"""Version and library."""
INSTALLED: dict[str, App] = dict.fromkeys(SHOPS, ("1.9", "1.9"))


def _page_1(page: Profile, profile: Profile) -> bool:
    """Whether the page asks for consent: library 1.9."""
    return bool(profile.get("consent", {}).get("version", 0) < page["version"])


def _page_2(page: Profile, profile: Profile) -> bool:
    """Whether the page asks for consent: library 2.0."""
    return bool(profile["consent"]["version"] < page["version"])


PRIVACY_PAGES: dict[str, Callable[[Profile, Profile], bool]] = {"1.9": _page_1, "2.0": _page_2, "2.0.1": _page_1}


class Person(OpenLoopUser):
    """One person with a phone at a time; which one is drawn for each arrival."""

    shop = ""

    def _somebody(self) -> None:
        self.shop = DRAWS.choice(SHOPS)
        app, _ = INSTALLED[self.shop]
        self.cohort = {"app": app, "plan": PLANS[self.shop], "profile": "returning"}

    def _post(self, path: str, words: Profile | None = None) -> Any:
        headers = {"X-Session": SESSIONS[self.shop]}
        return self.client.post(f"/{path}", json=words or {}, headers=headers, name=path)

    def _log_in(self) -> None:
        answer = self._post("log-in", {"account": self.shop, "password": f"password of {self.shop}"})
        if answer.status_code == 200:
            SESSIONS[self.shop] = answer.json()["session"]

    def _open_privacy_page(self, library: str, profile: Profile) -> bool:
        """Whether the app survived it."""
        with self.client.get("/privacy", name="privacy", catch_response=True) as answer:
            if answer.status_code != 200:
                return False
            try:
                PRIVACY_PAGES[library](answer.json(), profile)
            except KeyError as error:
                answer.failure(f"the app crashed: KeyError {error}")
                return False
        return True

    def _manifest(self) -> App | None:
        answer = self.client.get("/manifest", name="update")
        return (answer.json()["app"], answer.json()["library"]) if answer.status_code == 200 else None

    @task(27)
    def refresh(self) -> None:
        """Look for new messages; log in again if the app says that the network is disconnected."""
        self._somebody()
        answer = self._post("refresh")
        if answer.status_code == 502 or (answer.status_code == 200 and not answer.json()["connected"]):
            self._log_in()

    @task(3)
    def log_in(self) -> None:
        """Log in because it is time to."""
        self._somebody()
        self._log_in()

    @task(9)
    def reply(self) -> None:
        """Answer a customer."""
        self._somebody()
        self._post("reply", {"text": "We have sent it today."})

    @task(15)
    def picture(self) -> None:
        """See who a customer is."""
        self._somebody()
        self.client.get(f"/pictures/{DRAWS.randrange(200)}", name="pictures")

    @task(3)
    def privacy(self) -> None:
        """Read what one has consented to."""
        self._somebody()
        self._open_privacy_page(INSTALLED[self.shop][1], {"consent": {"version": 4}})

    @task(3)
    def update(self) -> None:
        """Let the phone see whether there is a new version, and install it."""
        self._somebody()
        INSTALLED[self.shop] = self._manifest() or INSTALLED[self.shop]

    @task(2)
    def install(self) -> None:
        """Be a new user: install the current version, read the privacy page, ask for one's history."""
        self.cohort = {"plan": "free", "profile": "fresh"}
        if current := self._manifest():
            app, library = current
            self.cohort = {"app": app, "plan": "free", "profile": "fresh"}
            if self._open_privacy_page(library, {}):
                self.client.post("/history", json={"account": f"new-{DRAWS.getrandbits(40):010x}"}, name="history")
