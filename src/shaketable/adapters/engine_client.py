"""The engine as this machine's settings name it: reaching it at all, and clients for building images."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import docker
import requests
from docker.context import ContextAPI
from docker.errors import APIError, DockerException

from shaketable.model.errors import EngineError

_FAILURES = (DockerException, requests.RequestException, OSError, ValueError)
_ANSWER_LIMIT = 10
_BUILD_LIMIT = 900


@dataclass(frozen=True, slots=True)
class Reached:
    """An engine's version; empty when it does not answer, and then `problem` says why."""

    version: str
    problem: str = ""


def adopt_context() -> None:
    """Let DOCKER_HOST name the endpoint of the docker command's current context, where a user has set one.

    The API client knows only DOCKER_HOST, compose knows both; without this they could talk to two different engines.
    """
    if os.environ.get("DOCKER_HOST"):
        return
    with contextlib.suppress(Exception):  # a broken context is the docker command's to complain about
        name = os.environ.get("DOCKER_CONTEXT") or ""
        context = ContextAPI.get_context(name) if name else ContextAPI.get_current_context()
        if context is not None and context.Name != "default" and context.Host:
            os.environ["DOCKER_HOST"] = str(context.Host)


def reach(address: str = "") -> Reached:
    """Ask the engine at `address` (default: DOCKER_HOST, else the default socket) for its version."""
    try:
        client = docker.DockerClient(base_url=address) if address else docker.from_env(timeout=_ANSWER_LIMIT)
    except _FAILURES as error:
        return Reached("", why(error))
    try:
        return Reached(str(client.version()["Version"]))
    except _FAILURES as error:
        return Reached("", why(error))
    finally:
        client.close()


def live_restore() -> bool | None:
    """Ask the engine whether it leaves its containers running when it stops; None if it does not answer."""
    try:
        client = docker.from_env(timeout=_ANSWER_LIMIT)
    except _FAILURES:
        return None
    try:
        return bool(client.info().get("LiveRestoreEnabled"))
    except _FAILURES:
        return None
    finally:
        client.close()


def why(error: BaseException) -> str:
    """Say in a few words what went wrong under the layers of wrapping."""
    text = str(error)
    for sign, words in (
        ("Permission denied", "permission denied"),
        ("No such file", "there is no engine socket"),
        ("Connection refused", "connection refused"),
        ("timed out", "no answer in time"),
        ("Name or service not known", "its name is not known"),
    ):
        if sign in text:
            return words
    if isinstance(error, APIError) and error.explanation:
        return str(error.explanation)
    return (text.splitlines() or [type(error).__name__])[0][:200]


@contextlib.contextmanager
def image_client(doing: str) -> Iterator[docker.DockerClient]:
    """Give a client with a time limit fit for building; every error in the block becomes an EngineError."""
    hint = "is the engine running? `shaketable doctor` tells, `shaketable engine up` starts one"
    try:
        client = docker.from_env(timeout=_BUILD_LIMIT)
    except _FAILURES as error:
        raise EngineError(f"the Docker engine does not answer ({doing}): {why(error)}", hint=hint) from error
    try:
        yield client
    except APIError as error:
        raise EngineError(f"the engine refused ({doing}): {why(error)}") from error
    except (DockerException, requests.RequestException) as error:
        raise EngineError(f"the Docker engine does not answer ({doing}): {why(error)}", hint=hint) from error
    finally:
        client.close()
