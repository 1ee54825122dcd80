"""`slacktide profiles`: which GPUs, models and stacks are known, what they predict, and how far off that is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slacktide import profile_rows as rows
from slacktide.columns import aligned
from slacktide.terminal import JSON_OPTION, UsageProblem, print_json, say

if TYPE_CHECKING:
    from shaping.calibration import Point
    from shaping.deployment import Deployment
    from shaping.meter_log import MeterReading
    from shaping.saturation import Traffic

profiles_app = typer.Typer(no_args_is_help=True, help="GPUs, models and serving stacks: what they predict, how surely.")

ModelOption = Annotated[str, typer.Option(help="Model profile, by name or published id.")]
GpuOption = Annotated[str, typer.Option(help="GPU profile, such as h100-sxm, a100-sxm-80gb, b200-sxm.")]
GpusOption = Annotated[int, typer.Option(min=1, help="GPUs that serve the model together.")]
StackOption = Annotated[str, typer.Option(help="Serving stack profile, see `slacktide profiles list`.")]
PrecisionOption = Annotated[str, typer.Option(help="Weights: 16bit, fp8, int8 or 4bit; empty: the model's own.")]
PromptOption = Annotated[int, typer.Option(min=0, help="Mean prompt tokens of a request.")]
OutputOption = Annotated[int, typer.Option(min=1, help="Mean output tokens of a request.")]
JsonOption = Annotated[bool, JSON_OPTION]

_MOST_BATCH = 1_000_000
_LONGEST_WINDOW_S = 86400.0
_RESIDUALS_HEAD = ("BATCH", "J/TOKEN", "BEFORE", "AFTER", "TOKENS/S", "BEFORE", "AFTER")
_GROUPS_HEAD = ("GROUP", "POINTS", "J/TOKEN MEDIAN", "P90", "TOKENS/S MEDIAN", "P90", "NOT PREDICTED")


@profiles_app.command("list")
def list_profiles(as_json: JsonOption = False) -> None:
    """List the names of all GPUs, models and serving stacks, with how well each GPU is known.

    Example: slacktide profiles list
    """
    from shaping.profiles import gpu_profile, names

    known = names()
    if as_json:
        print_json({**known, "gpu_error_classes": {name: gpu_profile(name).error_class for name in known["gpus"]}})
        return
    for kind, members in known.items():
        print(kind.upper())
        for name in members:
            print(f"  {name}" + (f"  ({gpu_profile(name).error_class})" if kind == "gpus" else ""))


@profiles_app.command("show")
def show_profile(
    name: Annotated[str, typer.Argument(help="A GPU, a model (name or published id) or a serving stack.")],
    as_json: JsonOption = False,
) -> None:
    """Show every constant of one profile and where it comes from.

    Example: slacktide profiles show h100-sxm
    """
    from dataclasses import asdict

    kind, profile = _any_profile(name)
    facts: dict[str, Any] = {"kind": kind, **asdict(profile)}
    if as_json:
        print_json(facts)
        return
    print(aligned([(key, rows.shown(value)) for key, value in rows.flat(facts)]))


@profiles_app.command("predict")
def predict(
    model: ModelOption = "llama-3.1-8b",
    gpu: GpuOption = "h100-sxm",
    batch: Annotated[float, typer.Option(help="Sequences that decode together, on average.")] = 64,
    prompt: PromptOption = 350,
    output: OutputOption = 400,
    gpus: GpusOption = 1,
    stack: StackOption = "vllm-0.11",
    precision: PrecisionOption = "",
    calibration: Annotated[Path | None, typer.Option(help="Calibrate to the points of this CSV first.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Predict speed, power and energy of a full worker, each with its 80% band.

    Example: slacktide profiles predict --model llama-3.1-8b --gpu h100-sxm --batch 64 --prompt 350 --output 400
    """
    from shaping.energy import max_batch_sequences
    from shaping.saturation import Traffic, saturated

    deployment = _deployment(model, gpu, gpus, stack, precision)
    traffic = Traffic(prompt_tokens=prompt, output_tokens=output)
    if not 1 <= batch <= _MOST_BATCH:
        raise UsageProblem(f"--batch must lie between 1 and {_MOST_BATCH}", "write, for instance, 64")
    if calibration is not None:
        deployment, _ = _calibrated(deployment, calibration, traffic)
    fits = max_batch_sequences(deployment, prompt + output)
    found = saturated(deployment, batch, traffic)
    if batch > fits:
        say(f"note: KV memory holds {fits} such sequences at their full length, not {batch:g}")
    facts = rows.deployed_facts(deployment) | {"batch": batch, "prompt_tokens": prompt, "output_tokens": output}
    if as_json:
        print_json({**facts, **rows.yield_facts(found), "most_sequences": fits})
        return
    print(", ".join(f"{key.replace('_', ' ')} {value}" for key, value in facts.items()))
    print(aligned([("", "", "LOW", "HIGH"), *rows.yield_rows(found)], right=(1, 2, 3)))
    say(f"modelled; error class {found.error_class}, low and high span 80%")


@profiles_app.command("calibrate")
def calibrate(
    file: Annotated[
        Path | None, typer.Argument(help="CSV with the columns batch, j_per_token, tokens_per_s.", show_default=False)
    ] = None,
    from_nvml_log: Annotated[
        Path | None, typer.Option(metavar="LOG", help="Find the points in a meter's log that the daemon kept.")
    ] = None,
    window_s: Annotated[
        float, typer.Option("--window", metavar="SECONDS", help="How long the batch must be steady in the log.")
    ] = 60.0,
    write_points: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Write the points found in the log, for --calibration.")
    ] = None,
    model: ModelOption = "llama-3.1-8b",
    gpu: GpuOption = "h100-sxm",
    prompt: PromptOption = 350,
    output: OutputOption = 400,
    gpus: GpusOption = 1,
    stack: StackOption = "vllm-0.11",
    precision: PrecisionOption = "",
    as_json: JsonOption = False,
) -> None:
    """Fit a profile to measured points of one worker; the smallest and the largest batch are enough.

    Example: slacktide profiles calibrate points.csv --model llama-3.1-8b --gpu h100-sxm

    One point scales step time and power; more fit both by exp(alpha + beta ln batch). J/token counts all GPUs. With
    --from-nvml-log, prompt and output lengths are those of the log where it has them.
    """
    from shaping.saturation import Traffic

    if (file is None) == (from_nvml_log is None):
        raise UsageProblem("one table of points or one log is needed", "give points.csv, or --from-nvml-log LOG")
    if write_points is not None and from_nvml_log is None:
        raise UsageProblem("--write-points is for --from-nvml-log", "leave it out: the points are in the file")
    traffic = Traffic(prompt_tokens=prompt, output_tokens=output)
    plain = _deployment(model, gpu, gpus, stack, precision)
    origin: dict[str, Any] = {}
    if from_nvml_log is not None:
        reading = _meter_reading(from_nvml_log, window_s)
        traffic, origin = reading.traffic or traffic, rows.meter_facts(reading)
        places = [(f"{from_nvml_log}: batches near {one.batch_sequences:.4g}", one) for one in reading.points]
        found, points = _calibrated_to(plain, places, traffic)
        if write_points is not None:
            _write_points(write_points, points, traffic)
    else:
        assert file is not None
        found, points = _calibrated(plain, file, traffic)
    fitted = rows.correction_facts(found)
    beside = rows.residuals(plain, found, points, traffic)
    lengths = {"prompt_tokens": traffic.prompt_tokens, "output_tokens": traffic.output_tokens}
    if as_json:
        print_json({**rows.deployed_facts(found), **lengths, **origin, **fitted, "points": beside})
        return
    print(aligned([_RESIDUALS_HEAD, *([f"{number:.4g}" for number in row.values()] for row in beside)], right=range(7)))
    for what, line in fitted["correction"].items():
        if isinstance(line, dict):
            print(f"{what} x exp({line['alpha']:+.4f} {line['beta']:+.4f} ln batch)")
    for name, value in origin.items():
        say(f"{name.replace('_', ' ')}: {rows.shown(value)}")
    say(f"error class {found.error_class}; predict with it: {_how_to_predict(file, write_points, traffic)}")


@profiles_app.command("evaluate")
def evaluate(
    measurements: Annotated[Path, typer.Option(help="CSV or CSV.gz with columns as llm_energy_measurements.csv.gz.")],
    anchors: Annotated[int, typer.Option(min=0, help="Calibrate each group on so many points, score the others.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Predict every row of a table of measurements and say how far off each group is.

    Example: slacktide profiles evaluate --measurements llm_energy_measurements.csv.gz --anchors 2

    Anchors are the smallest and the largest batch of a group; one that mixes serving stacks has them on each.
    """
    from shaping.evaluation import evaluate as by_group
    from shaping.profiles.published import subject
    from slacktide import measured

    read, unread = measured.rows_of(measurements)
    groups = by_group([subject(one) for one in read], anchors, unread)
    if as_json:
        print_json(
            {
                "anchors": anchors,
                "groups": [rows.group_facts(one) for one in groups],
                "overall": rows.overall_facts(groups),
            }
        )
        return
    print(aligned([_GROUPS_HEAD, *map(rows.group_row, groups), rows.total_row(groups)], right=range(1, 6)))


# -- what is asked for -------------------------------------------------------------------------------------------------


def _any_profile(name: str) -> tuple[str, Any]:
    from shaping.deployment import ProfileError
    from shaping.profiles import gpu_profile, model_profile, stack_profile

    problems = []
    for kind, find in (("gpu", gpu_profile), ("model", model_profile), ("stack", stack_profile)):
        try:
            return kind, find(name)
        except ProfileError as error:
            problems.append(error)
    near = [error.remedy for error in problems if error.remedy.startswith("did you mean")]
    raise UsageProblem(f"no profile is called {name!r}", " ".join(near) or "`slacktide profiles list` shows them all")


def _deployment(model: str, gpu: str, gpus: int, stack: str, precision: str) -> Deployment:
    from shaping.deployment import Precision, ProfileError
    from shaping.profiles import deployment

    if precision and precision not in tuple(Precision):
        raise UsageProblem(f"--precision {precision} is unknown", f"choose one of {', '.join(Precision)}")
    wanted = Precision(precision) if precision else None
    try:
        return deployment(gpu=gpu, model=model, gpus=gpus, stack=stack, precision=wanted)
    except ProfileError as error:
        raise UsageProblem(error.what, error.remedy) from None


def _calibrated(deployment: Deployment, file: Path, traffic: Traffic) -> tuple[Deployment, list[Point]]:
    """The deployment calibrated to a file, and the points in it."""
    from slacktide.measured import points

    return _calibrated_to(deployment, [(f"{file}:{line}:1", point) for line, point in points(file)], traffic)


def _calibrated_to(
    deployment: Deployment, placed: list[tuple[str, Point]], traffic: Traffic
) -> tuple[Deployment, list[Point]]:
    """The same for points that each come with where they stand."""
    from shaping.calibration import CalibrationError
    from shaping.calibration import calibrate as calibrate_to

    measured = [point for _, point in placed]
    try:
        found = calibrate_to(deployment, measured, traffic)
    except CalibrationError as error:
        place = placed[error.index or 0][0]
        raise UsageProblem(f"{place}: {error.what}", "batch, J per token over all GPUs, tokens/s") from None
    for place, point in placed:
        per_gpu_w = point.j_per_token * point.tokens_per_s / deployment.gpus
        if not deployment.gpu.context_idle_w <= per_gpu_w <= deployment.gpu.limit_w:
            span = f"{deployment.gpu.context_idle_w:g} to {deployment.gpu.limit_w:g} W"
            say(f"{place}: warning: {per_gpu_w:.0f} W a GPU is outside {span}; power is cut there")
    return found, measured


def _meter_reading(file: Path, window_s: float) -> MeterReading:
    from shaping.calibration import CalibrationError
    from shaping.meter_log import SHORTEST_WINDOW_S, points_from
    from slacktide.measured import meter_log

    if not SHORTEST_WINDOW_S <= window_s <= _LONGEST_WINDOW_S:
        raise UsageProblem(
            f"--window must lie between {SHORTEST_WINDOW_S:g} and {_LONGEST_WINDOW_S:g} s", "write, for instance, 60"
        )
    samples = meter_log(file)
    try:
        return points_from(samples, window_s)
    except CalibrationError as error:
        raise UsageProblem(f"{file}: {error.what}", "or shorten --window; see the energy model's page") from None


def _write_points(file: Path, points: list[Point], traffic: Traffic) -> None:
    from slacktide.measured import write_points

    write_points(file, points, traffic)


def _how_to_predict(file: Path | None, written: Path | None, traffic: Traffic) -> str:
    source = file or written
    if source is None:
        return "write the points with --write-points first"
    lengths = f" --prompt {traffic.prompt_tokens:.0f} --output {traffic.output_tokens:.0f}" if written else ""
    return f"slacktide profiles predict --calibration {source}{lengths}"
