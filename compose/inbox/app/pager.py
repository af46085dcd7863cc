"""The team's pager: takes what Alertmanager delivers, and shows what is firing: `GET /alerts` is `{"alerts": [...]}`."""

from __future__ import annotations

from aiohttp import web
from serving import serve

_firing: dict[str, str] = {}
"""What is firing, by Alertmanager's own name for it."""


async def take(request: web.Request) -> web.Response:
    """Alertmanager's webhook: each alert of the group with its state."""
    for alert in (await request.json())["alerts"]:
        name = f"{alert['labels']['alertname']} {alert['labels'].get('host', '')}".strip()
        if alert["status"] == "firing":
            _firing[alert["fingerprint"]] = name
        elif _firing.pop(alert["fingerprint"], None) is None:
            continue
        print(f"{alert['status']}: {name}: {alert['annotations'].get('summary', '')}", flush=True)
    return web.Response()


async def show(_: web.Request) -> web.Response:
    """What is firing as it was delivered."""
    return web.json_response({"alerts": sorted(_firing.values())})


if __name__ == "__main__":
    serve(web.post("/alerts", take), web.get("/alerts", show))
