"""What a client may ask of a fine-tuning, and what of it reaches the trainer."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler.config import validate
from scheduler.config_checks import findings
from scheduler.fine_tuning import checked, job_of, read_fields
from scheduler.jobs import InvalidJobError

EPOCHS = {"default": 3, "low": 1, "high": 10, "is_whole": True}


def the_settings(**changed: Any) -> Any:
    """A daemon that tunes one model."""
    tuning = {"model": "small", "template": "tune", "duration_s": "2h", "hyperparameters": {"n_epochs": EPOCHS}}
    return validate(
        {
            "region": [{"name": "here", "zone": "DE", "gpus": 2}],
            "feed": [{"kind": "synthetic", "zones": ["DE"], "archetype": "wind"}],
            "template": [{"name": "tune", "command": ["tune", "{training_file}", "{n_epochs}"]}],
            "fine_tuning": [{**tuning, **changed}],
        }
    )


def asked(body: bytes) -> Any:
    return checked(read_fields(body), the_settings().fine_tuning[0])


def test_auto_and_nothing_mean_the_default() -> None:
    assert asked(b'{"model":"small","training_file":"f"}').hyperparameters == {"n_epochs": 3.0}
    body = b'{"model":"small","training_file":"f","hyperparameters":{"n_epochs":"auto"}}'
    assert asked(body).hyperparameters == {"n_epochs": 3.0}


def test_only_what_the_template_names_is_passed_on() -> None:
    arguments = asked(b'{"model":"small","training_file":"f","suffix":"x"}').arguments(
        {"training_file", "n_epochs"}, {"training_file": "/data/f", "output": "/out"}
    )
    assert arguments == {"training_file": "/data/f", "n_epochs": "3"}


def test_the_metadata_say_the_deadline_as_a_span_or_as_an_instant() -> None:
    settings = the_settings().fine_tuning[0]

    def deadline_at_s(text: str) -> float:
        fields = f'{{"model":"small","training_file":"f","metadata":{{"slacktide_deadline":"{text}"}}}}'
        return job_of(asked(fields.encode()), settings, {}, "ftjob-1", 1_000_000.0).deadline_at_s

    assert deadline_at_s("3h") == 1_000_000.0 + 3 * 3600.0
    assert deadline_at_s("1970-01-13T00:00Z") == 12 * 86_400.0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        (b'{"model":"small"}', "training_file"),
        (b'{"model":"small","training_file":7}', "training_file"),
        (b'{"model":"small","training_file":"f","method":{"type":"magic"}}', "method.type"),
        (b'{"model":"small","training_file":"f","suffix":"a b"}', "suffix"),
        (b'{"model":"small","training_file":"f","hyperparameters":{"n_epochs":"many"}}', "hyperparameters.n_epochs"),
    ],
)
def test_a_mistake_names_its_field(body: bytes, field: str) -> None:
    with pytest.raises(InvalidJobError) as refused:
        asked(body)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({}, ""),
        ({"template": "tone"}, "no [[template]] is called 'tone'"),
        ({"hyperparameters": {}}, "nothing fills {n_epochs}"),
        ({"hyperparameters": {"n_epochs": EPOCHS, "rate": {"default": 1}}}, "has no {rate}"),
        ({"hyperparameters": {"n_epochs": {**EPOCHS, "default": 20}}}, "lies outside low and high"),
        ({"within_s": "1h"}, "is shorter than duration_s"),
        ({"regions": ["there"]}, "no [[region]] is called 'there'"),
        ({"gpus": 8}, "wants 8 GPUs"),
    ],
)
def test_settings_that_contradict_themselves_are_found(changed: dict[str, Any], what: str) -> None:
    found = [finding.what for finding in findings(the_settings(**changed))]
    assert [what in one for one in found] == ([True] if what else [])
