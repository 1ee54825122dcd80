"""Mistakes about agents are told with their line and the way out."""

from __future__ import annotations

import pytest

from scheduler.config_text import SettingsError, read_settings

REGION = '[[region]]\nname = "r"\nzone = "GB"\n[[feed]]\nkind = "uk_carbon"\nzones = ["GB"]\n'  # lines 1 to 6
WORKER = '[[worker]]\nurl = "http://w:1"\nmodels = ["m"]\nregion = "r"\nagent = "gpu1"\ndevices = ["0"]\n'  # 7 to 12
AGENT = '[[agent]]\nname = "gpu1"\nurl = "http://gpu1:9402"\n'  # 13 to 15
SECOND = WORKER.replace("http://w:1", "http://v:1").replace('["m"]', '["n"]')  # 16 to 21, after all of these


def told(text: str, **environment: str) -> list[str]:
    """Problems, or the warnings of settings that can be used."""
    try:
        return [str(one) for one in read_settings(text, "s.toml", environment).warnings]
    except SettingsError as error:
        return [str(one) for one in error.problems]


def test_a_worker_and_the_agent_of_its_gpus_are_sound() -> None:
    assert told(REGION + WORKER + AGENT) == []


def test_an_agent_that_is_not_there_is_told_with_the_nearest() -> None:
    assert told(REGION + WORKER.replace('"gpu1"', '"gpu2"') + AGENT)[0] == (
        "s.toml:11:1: no [[agent]] is called 'gpu2' (did you mean 'gpu1'?)"
    )
    assert "add one with name and url" in told(REGION + WORKER)[0]


def test_an_agent_without_devices_does_not_know_what_to_meter() -> None:
    (problem,) = told(REGION + WORKER.replace('devices = ["0"]\n', "") + AGENT)
    assert problem.startswith("s.toml:11:1: needs devices")
    assert "slacktide agent --once" in problem


def test_an_agent_that_nobody_names_is_a_warning() -> None:
    (warning,) = told(REGION + AGENT)
    assert warning.startswith("s.toml:8:1: no [[worker]] names it")


@pytest.mark.parametrize(
    "url",
    [
        "http://gpu1:9402/readings",
        "http://",
        "http://[::1",
        "http://gpu1:port",
        "http://u:p@gpu1",
        "http://g?x=1",
        "http://a..b",
    ],
)
def test_what_is_no_plain_address_is_refused(url: str) -> None:
    (problem,) = told(REGION + WORKER + AGENT.replace("http://gpu1:9402", url))
    assert problem.startswith(f"s.toml:15:1: {url!r} is no address of an agent")


def test_two_agents_of_one_name_are_refused() -> None:
    assert "another [[agent]] has name 'gpu1' already" in told(REGION + WORKER + AGENT + AGENT)[0]


def test_a_token_that_is_not_set_or_goes_unencrypted_is_a_warning() -> None:
    with_token = REGION + WORKER + AGENT + 'token_env = "T"\n'
    unset, open_way = sorted(told(with_token), reverse=True)
    assert unset.startswith("s.toml:16:1: the environment variable T is not set; this agent is not asked")
    assert open_way.startswith("s.toml:15:1: the token goes there without encryption")
    assert told(with_token, T="x" * 32) == [open_way]
    for safe in ("https://gpu1:9402", "http://127.0.0.1:9402"):
        assert told(with_token.replace("http://gpu1:9402", safe), T="x" * 32) == []


def test_workers_share_all_of_their_devices_or_none() -> None:
    assert told(REGION + WORKER + AGENT + SECOND) == []
    assert told(REGION + WORKER + AGENT + SECOND.replace('["0"]', '["1"]')) == []
    (problem,) = told(REGION + WORKER + AGENT + SECOND.replace('devices = ["0"]', 'gpus = 2\ndevices = ["0", "1"]'))
    assert problem.startswith("s.toml:22:1: GPU '0' of agent 'gpu1' is another worker's as well")


def test_the_same_devices_of_other_machines_are_others() -> None:
    both = SECOND.replace('devices = ["0"]', 'gpus = 2\ndevices = ["0", "1"]').replace('"gpu1"', '"gpu2"')
    assert told(REGION + WORKER + AGENT + both + AGENT.replace("gpu1", "gpu2")) == []
