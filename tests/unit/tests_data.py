"""The part of a scenario that fault specifications are tried in."""

GOOD_HEAD = """shaketable: 1
name: fuzz
topology: {compose: .}
variants: {today: {files: [compose.yaml]}}
load: {locustfile: load.py, target: "http://web:8080", rate: 20 /s}
observers:
  holders:
    web: {kind: http-json, at: "web:8080", path: /backends, lists: {servers: backends}}
steady:
  lists: {servers: 2}
"""
