"""Finds the profiles that are to predict a published measurement, by the names that its table uses.

Decides what a table's words for precision and serving stack mean. Decides no number.
"""

from __future__ import annotations

from dataclasses import replace

from shaping.deployment import Deployment, Precision, ProfileError
from shaping.evaluation import Subject
from shaping.measurements import Measurement
from shaping.profiles import fitting, gpu_profile, model_profile, stack_profile, task_traffic
from shaping.saturation import Traffic

PRECISIONS = {
    "bfloat16": Precision.BITS_16,
    "bf16": Precision.BITS_16,
    "float16": Precision.BITS_16,
    "fp16": Precision.BITS_16,
    "16bit": Precision.BITS_16,
    "fp8": Precision.FP8,
    "int8": Precision.INT8,
    "mxfp4": Precision.BITS_4,
    "nvfp4": Precision.BITS_4,
    "int4": Precision.BITS_4,
    "4bit": Precision.BITS_4,
    "awq": Precision.BITS_4,
    "gptq": Precision.BITS_4,
}
STACKS = {"vllm-0.11.1": "vllm-0.11", "vllm-0.2-era": "vllm-0.2"}


def subject(measured: Measurement) -> Subject:
    """A measurement with the deployment and the traffic that predict it, or with the reason why there are none."""
    try:
        return Subject(measured=measured, deployment=_deployment(measured), traffic=_traffic(measured))
    except ProfileError as error:
        return Subject(measured=measured, reason=error.what)


def _deployment(measured: Measurement) -> Deployment:
    gpu = gpu_profile(measured.gpu)
    found = Deployment(
        gpu=replace(gpu, limit_w=gpu.limit_w * measured.power_cap_ratio),
        model=model_profile(measured.model_id),
        stack=stack_profile(STACKS.get(measured.stack, measured.stack)),
        gpus=measured.gpus,
        precision=_precision(measured.precision),
        expert_parallel=measured.is_expert_parallel,
    )
    return fitting(found)


def _precision(word: str) -> Precision | None:
    """None, the model's own, where the table says nothing."""
    if word and word.lower() not in PRECISIONS:
        raise ProfileError(f"no weights are known to be stored as {word!r}")
    return PRECISIONS[word.lower()] if word else None


def _traffic(measured: Measurement) -> Traffic:
    if measured.prompt_tokens is not None:
        return Traffic(prompt_tokens=measured.prompt_tokens, output_tokens=measured.output_tokens)
    return task_traffic(measured.task, measured.output_tokens)
