"""`/v1/fine_tuning/jobs` as OpenAI's clients write them: which template trains which model, with which arguments.

What a client may set is what the settings list; a name it makes up is refused and not passed on. The trainer is told
the paths of its files and of a folder to write to, and may leave two files of lines there: `checkpoints.jsonl` and
`events.jsonl`. Knows no socket, no store and no file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from scheduler.jobs import Interruption, InvalidJobError, Job, JobKind, JobState
from scheduler.launch_settings import FineTuningSettings, HyperparameterSettings
from scheduler.quantities import QuantityError, parse_duration_s, parse_instant_s
from scheduler.work_settings import phases_of, power_of_w, speeds_of

# What a template may name beside its hyperparameters.
OWN_PLACEHOLDERS = ("training_file", "validation_file", "output", "model", "suffix", "seed")
DEADLINE_KEY = "slacktide_deadline"
AUTO = "auto"
DEFAULT_SEED = 42
_SUFFIX = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = ("supervised", "dpo", "reinforcement")

PAUSED_BY_CLIENT = "paused"
# Our states as OpenAI's clients know them; one that is paused waits for its next piece.
STATUS: Mapping[JobState, str] = {
    JobState.WAITING: "queued",
    JobState.STARTING: "queued",
    JobState.PAUSED: "queued",
    JobState.RUNNING: "running",
    JobState.SUCCEEDED: "succeeded",
    JobState.FAILED: "failed",
    JobState.QUARANTINED: "failed",
    JobState.CANCELLED: "cancelled",
}


def status_of(state: JobState, *, is_on_hold: bool) -> str:
    """As OpenAI's clients know it; one that is on hold and runs is running until its checkpoint is written."""
    waits = state in (JobState.WAITING, JobState.PAUSED)
    return PAUSED_BY_CLIENT if is_on_hold and waits else STATUS[state]


class FineTuningFields(msgspec.Struct, kw_only=True):
    """The body of a creation; fields of newer clients are passed over."""

    model: str
    training_file: str
    validation_file: str | None = None
    suffix: str | None = None
    seed: int | None = None
    hyperparameters: dict[str, int | float | str] | None = None
    method: dict[str, Any] | None = None
    metadata: dict[str, str] | None = None
    integrations: list[Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuning:
    """What was asked for, checked; kept with the job."""

    model: str
    training_file: str
    validation_file: str | None
    suffix: str
    seed: int
    method: str
    hyperparameters: Mapping[str, float]
    metadata: Mapping[str, str] | None

    def name_of_result(self, job_id: str) -> str:
        """What the finished model is called."""
        return ":".join(("ft", self.model, *([self.suffix] if self.suffix else []), job_id))

    def arguments(self, template: Iterable[str], paths: Mapping[str, str]) -> dict[str, str]:
        """Values for the placeholders that the template has, `paths` among them."""
        own = {"model": self.model, "suffix": self.suffix, "seed": str(self.seed), "validation_file": "", **paths}
        numbers = {name: f"{value:g}" for name, value in self.hyperparameters.items()}
        return {name: value for name, value in (own | numbers).items() if name in template}


def read_fields(body: bytes) -> FineTuningFields:
    """Raises InvalidJobError naming the field."""
    try:
        return msgspec.json.decode(body, type=FineTuningFields)
    except msgspec.ValidationError as error:
        found = re.search(r"\$\.(\w+)|field `(\w+)`", str(error))
        raise InvalidJobError(found[1] or found[2] if found else "body", str(error)) from None
    except msgspec.DecodeError as error:
        raise InvalidJobError("body", f"is no JSON object: {error}") from None


def checked(fields: FineTuningFields, settings: FineTuningSettings) -> FineTuning:
    """Raises InvalidJobError naming the field and the remedy."""
    if fields.suffix is not None and not _SUFFIX.fullmatch(fields.suffix):
        raise InvalidJobError("suffix", "has 1 to 64 letters, digits, dots, dashes and underscores")
    if fields.integrations:  # passed over, they would be believed to be told
        raise InvalidJobError("integrations", "are not served here: let the template's own command report to them")
    method, asked = _method(fields)
    return FineTuning(
        model=fields.model,
        training_file=fields.training_file,
        validation_file=fields.validation_file,
        suffix=fields.suffix or "",
        seed=DEFAULT_SEED if fields.seed is None else fields.seed,
        method=method,
        hyperparameters=_hyperparameters(asked, settings.hyperparameters),
        metadata=fields.metadata,
    )


def settings_of(model: str, known: Sequence[FineTuningSettings]) -> FineTuningSettings:
    """Raises InvalidJobError."""
    for one in known:
        if one.model == model:
            return one
    listed = ", ".join(one.model for one in known) or "none"
    raise InvalidJobError("model", f"{model!r} cannot be fine-tuned here; these can: {listed}")


def job_of(
    asked: FineTuning,
    settings: FineTuningSettings,
    arguments: Mapping[str, str],
    job_id: str,
    now_s: float,
    tenant: str = "default",
) -> Job:
    """Raises InvalidJobError."""
    interruption = None
    if settings.interruptible:
        interruption = Interruption(
            checkpoint_s=settings.checkpoint_s, restore_s=settings.restore_s, min_run_s=settings.min_run_s
        )
    return Job(
        id=job_id,
        kind=JobKind.FINE_TUNING,
        submitted_at_s=now_s,
        earliest_start_at_s=now_s,
        deadline_at_s=_deadline_at_s(asked, settings, now_s),
        duration_s=settings.duration_s,
        power_w=power_of_w(settings),
        gpus=settings.gpus,
        interruption=interruption,
        regions=settings.regions,
        tenant=tenant,
        label=f"fine-tuning {settings.model}",
        template=settings.template,
        arguments=tuple(sorted(arguments.items())),
        power_profile=phases_of(settings),
        elastic=speeds_of(settings),
    )


def _method(fields: FineTuningFields) -> tuple[str, Mapping[str, Any]]:
    """The method and its hyperparameters, which older clients write beside it."""
    if fields.method is None:
        return _METHODS[0], fields.hyperparameters or {}
    kind = fields.method.get("type")
    if kind not in _METHODS:
        raise InvalidJobError("method.type", f"is one of {', '.join(_METHODS)}")
    inside = (fields.method.get(str(kind)) or {}).get("hyperparameters")
    return str(kind), inside or fields.hyperparameters or {}


def _hyperparameters(asked: Mapping[str, Any], known: Mapping[str, HyperparameterSettings]) -> dict[str, float]:
    for name in asked:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise InvalidJobError(f"hyperparameters.{name}", f"is not one of this model's: {listed}")
    return {name: _value(name, asked.get(name, AUTO), limits) for name, limits in known.items()}


def _value(name: str, value: Any, limits: HyperparameterSettings) -> float:
    if value == AUTO or value is None:
        return limits.default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidJobError(f"hyperparameters.{name}", f'is a number or "{AUTO}"')
    if limits.is_whole and value != int(value):
        raise InvalidJobError(f"hyperparameters.{name}", "is a whole number")
    if not limits.low <= value <= limits.high:
        raise InvalidJobError(f"hyperparameters.{name}", f"is {limits.low:g} to {limits.high:g}")
    return float(value)


def _deadline_at_s(asked: FineTuning, settings: FineTuningSettings, now_s: float) -> float:
    text = (asked.metadata or {}).get(DEADLINE_KEY)
    if text is None:
        return now_s + settings.within_s
    try:
        return parse_instant_s(text) if "T" in text else now_s + parse_duration_s(text)
    except QuantityError as error:
        raise InvalidJobError(f"metadata.{DEADLINE_KEY}", str(error)) from None
