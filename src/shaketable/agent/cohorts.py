"""Who makes a request, as the user says it of itself, in the one text that is recorded."""

from __future__ import annotations

from collections.abc import Mapping


def cohort_text(cohort: object) -> str:
    """Write `{"plan": "free", "app": "2.0"}` as `app=2.0,plan=free`: sorted by key. Raises ValueError for what is no cohort."""
    if not isinstance(cohort, Mapping):  # told to a person like any other mistake in a locustfile
        raise ValueError(f"a cohort is a mapping, as {{'plan': 'free'}}, not {cohort!r}")  # noqa: TRY004
    pairs = {str(key): str(value) for key, value in cohort.items()}
    for key, value in pairs.items():
        if not key or not value or set("=,\n") & set(key + value):
            raise ValueError(f"a cohort's keys and values are text without '=' and ',', not {key!r}: {value!r}")
    return ",".join(f"{key}={value}" for key, value in sorted(pairs.items()))
