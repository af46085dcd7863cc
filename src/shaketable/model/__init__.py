"""Scenario, history and result as typed, frozen data; units; errors. Nothing here does I/O."""
