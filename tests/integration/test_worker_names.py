"""A worker's name with several addresses counts as that many workers, and follows what the name stands for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from scheduler.config import Settings
from scheduler.daemon.env import Env
from scheduler.daemon.resolving import Resolver
from scheduler.worker_settings import WorkerSettings
from tests.daemons import settings_of
from tests.integration.gateway_stand import FakeWorker, a_front, settings_for


class Names(Env):
    """An environment in which one name stands for what a test says."""

    def __init__(self, *found: str) -> None:
        super().__init__(seed=1)
        self.found: list[str] | None = list(found)

    async def addresses(self, host: str, port: int) -> list[str]:
        assert (host, port) == ("replicas", 8000)
        if self.found is None:
            raise OSError("no such name")
        return self.found


def a_name(folder: Path) -> WorkerSettings:
    worker = {"url": "http://replicas:8000/base", "models": ["m"], "region": "here", "resolve": True}
    return settings_of(folder, {"worker": [worker]}).worker[0]


async def test_each_address_is_a_worker_and_a_lost_name_keeps_them(tmp_path: Path) -> None:
    worker = a_name(tmp_path)
    settings = settings_of(tmp_path, {})
    settings = dataclasses.replace(settings, worker=(worker,))
    env = Names("10.0.0.2", "10.0.0.1", "10.0.0.1")
    changes: list[Settings] = []
    resolver = Resolver(env, lambda: settings, changes.append)
    assert resolver.spread(settings).worker == (worker,)  # called by its name until it is looked up
    await resolver.look_up()
    assert [one.url for one in changes[0].worker] == ["http://10.0.0.1:8000/base", "http://10.0.0.2:8000/base"]
    env.found = None
    await resolver.look_up()
    assert len(changes) == 1
    env.found = ["fd00::1", "10.0.0.2"]
    await resolver.look_up()
    assert [one.url for one in changes[1].worker] == ["http://10.0.0.2:8000/base", "http://[fd00::1]:8000/base"]


async def test_requests_go_to_the_addresses_of_a_name() -> None:
    async with FakeWorker().listening() as one:
        port = one.url.rpartition(":")[2]
        settings = settings_for([f"http://replicas:{port}"])
        named = tuple(dataclasses.replace(worker, resolve=True) for worker in settings.worker)
        async with a_front(dataclasses.replace(settings, worker=named)) as stand:
            found = Env(seed=1)

            async def loopback(host: str, port: int) -> list[str]:
                return ["127.0.0.1"]

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(found, "addresses", loopback)
                resolver = Resolver(found, lambda: dataclasses.replace(settings, worker=named), stand.gateway.take_up)
                await resolver.look_up()
            assert (await stand.chat()).status == 200
            assert len(one.requests) == 1
