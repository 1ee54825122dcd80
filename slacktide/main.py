"""The console script. Each command is a file of its own whose heavy imports wait until it runs."""

from __future__ import annotations

import sys

import typer

from slacktide.agent import agent
from slacktide.backup import backup, restore
from slacktide.config import config_app
from slacktide.demo import demo
from slacktide.doctor import doctor
from slacktide.emulate_feeds import emulate_feeds
from slacktide.estimate import estimate
from slacktide.import_trace import import_trace
from slacktide.intensity import intensity
from slacktide.job_changes import cancel, pause, requeue, resume
from slacktide.jobs import jobs
from slacktide.keys import keys_app
from slacktide.plan import plan
from slacktide.profiles import profiles_app
from slacktide.regions import regions
from slacktide.replay import replay
from slacktide.reproduce import reproduce
from slacktide.router import router_app
from slacktide.run import run
from slacktide.serve import serve
from slacktide.show import explain, show
from slacktide.simulate import simulate
from slacktide.submit import submit
from slacktide.sweep import sweep
from slacktide.terminal import OwnFailure, UsageProblem, leave
from slacktide.worker import worker

app = typer.Typer(
    name="slacktide",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # boxes around the help would double the time to its first line
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Carbon-aware batch scheduler and request shaper for GPU inference and fine-tuning.",
)


@app.callback()
def _root() -> None:
    """Only here so that a single registered command stays a subcommand."""


app.add_typer(config_app, name="config", short_help="Write, check and show the settings.")
app.add_typer(keys_app, name="keys", short_help="Say who may do what.")
app.add_typer(profiles_app, name="profiles", short_help="Look into the energy model and calibrate it.")
app.add_typer(router_app, name="router", short_help="Train and judge what picks the model of a query.")
app.command("agent", short_help="Meter the GPUs here for a daemon elsewhere.")(agent)
app.command("backup", short_help="Copy the daemon's state while it runs.")(backup)
app.command("cancel", short_help="Cancel a job.")(cancel)
app.command("demo", short_help="See it work in a minute.")(demo)
app.command("doctor", short_help="Look for what is wrong here.")(doctor)
app.command("emulate-feeds", short_help="Serve the feeds' APIs from a trace.")(emulate_feeds)
app.command("estimate", short_help="Estimate a training, here and elsewhere.")(estimate)
app.command("explain", short_help="Say why a job is where it is.")(explain)
app.command("import-trace", short_help="Read a public trace.")(import_trace)
app.command("intensity", short_help="Show what a grid emits.")(intensity)
app.command("jobs", short_help="List the daemon's jobs.")(jobs)
app.command("pause", short_help="Put a job on hold.")(pause)
app.command("plan", short_help="Find the cleanest window of one job.")(plan)
app.command("regions", short_help="List cloud regions and their grids.")(regions)
app.command("replay", short_help="Turn a daemon's past into a scenario.")(replay)
app.command("reproduce", short_help="Recompute published tables.")(reproduce)
app.command("requeue", short_help="Let a job out of quarantine.")(requeue)
app.command("restore", short_help="Put a copy of the state back.")(restore)
app.command("resume", short_help="Let a job on hold go.")(resume)
app.command(
    "run", short_help="Run a command in clean hours, no daemon.", context_settings={"allow_interspersed_args": False}
)(run)
app.command("serve", short_help="Run the daemon.")(serve)
app.command("show", short_help="Show one job.")(show)
app.command("simulate", short_help="Run a what-if on traces.")(simulate)
app.command("submit", short_help="Submit a job to the daemon.")(submit)
app.command("sweep", short_help="Run a what-if with many values.")(sweep)
app.command("worker", short_help="Serve a simulated GPU worker.")(worker)


def main() -> None:
    """Run the command line; a mistake ends in two lines and an exit code, never in a traceback."""
    try:
        app()
    except (UsageProblem, OwnFailure) as problem:
        leave(problem)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
