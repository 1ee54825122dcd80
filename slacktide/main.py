"""The console script. Each command is a file of its own whose heavy imports wait until it runs."""

from __future__ import annotations

import sys

import typer

from slacktide.cancel import cancel
from slacktide.config import config_app
from slacktide.demo import demo
from slacktide.doctor import doctor
from slacktide.emulate_feeds import emulate_feeds
from slacktide.intensity import intensity
from slacktide.jobs import jobs
from slacktide.plan import plan
from slacktide.profiles import profiles_app
from slacktide.regions import regions
from slacktide.run import run
from slacktide.serve import serve
from slacktide.show import explain, show
from slacktide.simulate import simulate
from slacktide.submit import submit
from slacktide.terminal import OwnFailure, UsageProblem, leave
from slacktide.worker import worker

app = typer.Typer(
    name="slacktide",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Carbon-aware batch scheduler and request shaper for GPU inference and fine-tuning.",
)


@app.callback()
def _root() -> None:
    """Only here so that a single registered command stays a subcommand."""


app.add_typer(config_app, name="config")
app.add_typer(profiles_app, name="profiles")
app.command("cancel")(cancel)
app.command("demo")(demo)
app.command("doctor")(doctor)
app.command("emulate-feeds")(emulate_feeds)
app.command("explain")(explain)
app.command("intensity")(intensity)
app.command("jobs")(jobs)
app.command("plan")(plan)
app.command("regions")(regions)
app.command("run", context_settings={"allow_interspersed_args": False})(run)
app.command("serve")(serve)
app.command("show")(show)
app.command("simulate")(simulate)
app.command("submit")(submit)
app.command("worker")(worker)


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
