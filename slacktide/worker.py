"""slacktide worker: a simulated GPU worker behind an OpenAI-compatible port."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from slacktide.terminal import JSON_OPTION, OwnFailure, UsageProblem, print_json, reason_of, say


def worker(
    model: Annotated[str, typer.Option(help="Model profile, by name or published id.")] = "llama-3.1-8b",
    gpu: Annotated[str, typer.Option(help="GPU profile, such as h100-sxm, a100-sxm-80gb, b200-sxm.")] = "h100-sxm",
    gpus: Annotated[int, typer.Option(min=1, help="GPUs of this worker.")] = 1,
    stack: Annotated[str, typer.Option(help="Serving stack profile: vllm-0.11 or vllm-0.5.4.")] = "vllm-0.11",
    served_name: Annotated[str, typer.Option(help="Model name for clients; empty: the profile's own.")] = "",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 lets the system choose.")] = 8001,
    max_sequences: Annotated[int, typer.Option(min=1, help="Requests that run at once.")] = 256,
    speed: Annotated[float, typer.Option(help="Virtual seconds per real second.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of answer lengths.")] = 0,
    instant: Annotated[
        bool, typer.Option("--instant", help="Answer at once with a fixed text and no energy, to measure a gateway.")
    ] = False,
    prefix_cache: Annotated[
        bool, typer.Option("--prefix-cache", help="Keep what prompts begin with, and read it once.")
    ] = False,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Serve a simulated GPU worker whose timing and power follow the energy model. Needs no GPU.

    Example: slacktide worker --model llama-3.1-8b --gpu h100-sxm --port 8001 --speed 10
    """
    from shaping.energy import ProfileError
    from simulations.worker_server import WorkerOptions, build_app, serve

    if speed <= 0:
        raise UsageProblem(f"--speed is a positive factor, not {speed:g}", "1 is real time, 10 is ten times faster")
    try:
        app = build_app(
            WorkerOptions(
                model=model,
                gpu=gpu,
                gpus=gpus,
                stack=stack,
                max_sequences=max_sequences,
                speed=speed,
                seed=seed,
                served_name=served_name or None,
                is_instant=instant,
                has_prefix_cache=prefix_cache,
            )
        )
    except ProfileError as error:
        raise UsageProblem(error.what, error.remedy) from None

    def announce(address: str) -> None:
        if as_json:
            print_json({"base_url": f"{address}/v1", "model": served_name or model, "gpu": gpu, "speed": speed})
            sys.stdout.flush()  # a script waits for the address while this runs on
        else:
            say(f"simulated {served_name or model} on {gpus} x {gpu}: {address}/v1")

    try:
        serve(app, host=host, port=port, announce=announce)
    except OSError as error:
        raise OwnFailure(f"cannot listen on {host}:{port}: {reason_of(error)}", "choose another --port") from None
