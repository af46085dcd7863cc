"""A scenario about what runs, gauges, cohorts and functions, and synthetic histories of its trials."""

from __future__ import annotations

GOOD = """
shaketable: 1
name: inbox
topology: {compose: .}
variants:
  fixed: {files: [compose.yaml]}
load:
  locustfile: load.py
  target: http://lb:8080
  rate: 20 /s
observers:
  holders:
    kernel: {kind: containers, lists: {running: names, started: starts}, every: 50ms}
    queue: {kind: http-json, at: "queue:8081", gauges: {backlog: depth}}
    receiver: {kind: http-json, at: "receiver:8082", lists: {alerts: firing}}
    news: {kind: http-json, at: "news:8083", lists: {notices: news}}
    registry: {kind: etcd, at: "registry:2379", lists: {servers: "/servers/{host}"}}
steady:
  lists: {running: 12}
  gauges: {backlog: 5}
faults:
  - {id: upgrade, kind: kill, target: {host: host-3}, lasts: 40s}
expectations:
  - {id: back, kind: runs-again, list: running, within: 30s}
  - {id: well, kind: functions-recover, within: 30s, since: fault, gauges: {backlog: 5.5}, requests: [refresh, log in]}
  - {id: same, kind: cohorts-alike, by: [app, profile], at_most: 5 %}
  - {id: told, kind: alerted, list: alerts, contains: "down {target}", within: 30s}
  - {id: calm, kind: quiet, list: alerts}
  - {id: paid, kind: availability, at_least: 99 %, requests: [reply], cohort: {plan: paid}}
"""
