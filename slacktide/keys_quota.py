"""`slacktide keys quota`: what a tenant may use, set, shown and taken away through the daemon itself."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from slacktide.submit import DEFAULT_URL, URL_OPTION
from slacktide.terminal import JSON_OPTION, UsageProblem, print_json

_SPANS = {"minute": "any 60 seconds", "month": "a month of UTC"}


def _limit(unit: str, what: str, per: str) -> Any:
    return typer.Option(f"--{unit}-per-{per}", min=0, help=f"Most {what} in {_SPANS[per]}.")


def quota(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Whose quota; `default` without keys.")],
    requests_per_minute: Annotated[int | None, _limit("requests", "requests", "minute")] = None,
    tokens_per_minute: Annotated[int | None, _limit("tokens", "tokens", "minute")] = None,
    minute_energy_kwh: Annotated[float | None, _limit("energy-kwh", "energy of the facility", "minute")] = None,
    minute_gco2e: Annotated[float | None, _limit("gco2e", "grams", "minute")] = None,
    minute_usd: Annotated[float | None, _limit("usd", "dollars of electricity", "minute")] = None,
    requests_per_month: Annotated[int | None, _limit("requests", "requests", "month")] = None,
    tokens_per_month: Annotated[int | None, _limit("tokens", "tokens", "month")] = None,
    month_energy_kwh: Annotated[float | None, _limit("energy-kwh", "energy of the facility", "month")] = None,
    month_gco2e: Annotated[float | None, _limit("gco2e", "grams", "month")] = None,
    month_usd: Annotated[float | None, _limit("usd", "dollars of electricity", "month")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Take all limits away that were set so.")] = False,
    url: Annotated[str, URL_OPTION] = DEFAULT_URL,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Show what a tenant may use and has used this month; with limits, set them in place of all that it had.

    A tenant that the settings name is changed there.

    Example: slacktide keys quota search --requests-per-minute 60 --gco2e-per-month 5000
    """
    from slacktide.daemon_client import DaemonClient, quota_path

    limits = {
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "energy_kwh_per_minute": minute_energy_kwh,
        "gco2e_per_minute": minute_gco2e,
        "usd_per_minute": minute_usd,
        "requests_per_month": requests_per_month,
        "tokens_per_month": tokens_per_month,
        "energy_kwh_per_month": month_energy_kwh,
        "gco2e_per_month": month_gco2e,
        "usd_per_month": month_usd,
    }
    asked = {name: most for name, most in limits.items() if most is not None}
    if asked and clear:
        raise UsageProblem("--clear takes all limits away, and others are named", "leave one of the two out")
    client = DaemonClient(url)
    if clear:
        answer = client.post(quota_path(tenant, "clear"))
    else:
        answer = client.post(quota_path(tenant), asked) if asked else client.get(quota_path(tenant))
    if as_json:
        print_json(answer)
    else:
        _show(answer)


def _show(found: dict[str, Any]) -> None:
    from slacktide.columns import UNKNOWN, aligned

    if not found["limits"]:
        print(f"{found['tenant']} is not limited")
        return
    place = "the settings" if found["set_by"] == "settings" else "keys"
    rows = [
        [one["what"], one["per"], f"{one['most']:g}", UNKNOWN if one["left"] is None else f"{one['left']:g}"]
        for one in found["limits"]
    ]
    print(f"{found['tenant']}, set by {place}")
    print(aligned([["WHAT", "PER", "MOST", "LEFT"], *rows]))
