"""`slacktide keys`: who may use the daemon, made and ended through the daemon itself."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from slacktide.keys_quota import quota
from slacktide.submit import DEFAULT_URL, URL_OPTION
from slacktide.terminal import JSON_OPTION, UsageProblem, print_json, say

keys_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Make, list, rotate and revoke keys.")

keys_app.command("quota", short_help="Show or set what a tenant may use.")(quota)

_ID = typer.Argument(metavar="ID", help="Id of the key, as `slacktide keys list` shows it.")


@keys_app.command("create", short_help="Make a key; it is shown once.")
def create(
    scope: Annotated[
        str, typer.Option("--scope", help="What it opens: inference, batches, jobs, read, admin; several with commas.")
    ],
    tenant: Annotated[
        str | None,
        typer.Option("--tenant", help="Whose it is; what it does is booked there, and it sees nothing else."),
    ] = None,
    all_tenants: Annotated[
        bool, typer.Option("--all-tenants", help="An operator's key: every tenant's. The first key has to be one.")
    ] = False,
    expires: Annotated[
        str | None, typer.Option("--expires", help="How long it is good for, such as 90d; never, if left out.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="What it is for; shown in lists.")] = "",
    url: Annotated[str, URL_OPTION] = DEFAULT_URL,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Make a key. The key alone goes to stdout and is never shown again: the daemon keeps its SHA-256 only.

    Example: slacktide keys create --tenant search --scope inference,read --expires 90d
    """
    from slacktide.daemon_client import DaemonClient

    if (tenant is None) == (not all_tenants):
        raise UsageProblem("say whose key it is", "--tenant NAME, or --all-tenants for an operator's key")
    asked = {"scopes": _named(scope), "tenant": tenant, "expires": expires, "name": name}
    _show_made(DaemonClient(url).post("keys", asked), as_json)


@keys_app.command("list", short_help="List keys.")
def list_keys(url: Annotated[str, URL_OPTION] = DEFAULT_URL, as_json: Annotated[bool, JSON_OPTION] = False) -> None:
    """List every key there ever was, without its secret.

    Example: slacktide keys list
    """
    from slacktide.columns import UNKNOWN, aligned
    from slacktide.daemon_client import DaemonClient

    found = DaemonClient(url).get("keys")["data"]
    if as_json:
        print_json(found)
        return
    rows = [
        [
            *(one["id"], one["state"], one["tenant"] or "(all)", ",".join(one["scopes"])),
            *(one["expires_at"] or "never", one["name"] or UNKNOWN),
        ]
        for one in found
    ]
    if not rows:
        say("there are no keys: whoever is on this machine may use the daemon")
        return
    print(aligned([["ID", "STATE", "TENANT", "SCOPES", "EXPIRES", "NAME"], *rows]))


@keys_app.command("revoke", short_help="End a key now.")
def revoke(
    key_id: Annotated[str, _ID],
    url: Annotated[str, URL_OPTION] = DEFAULT_URL,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """End a key, and the sessions that were begun with it, at once.

    Example: slacktide keys revoke 0f3c9a61b2d4
    """
    from slacktide.daemon_client import DaemonClient, key_path

    key = DaemonClient(url).post(key_path(key_id, "revoke"))
    if as_json:
        print_json(key)
    else:
        print(f"{key['id']} is {key['state']}")


@keys_app.command("rotate", short_help="Replace a key by a new one.")
def rotate(
    key_id: Annotated[str, _ID],
    overlap: Annotated[
        str, typer.Option("--overlap", help="How long the old key stays good beside the new one; 0s ends it now.")
    ] = "24h",
    url: Annotated[str, URL_OPTION] = DEFAULT_URL,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Make a key like another one, which ends after the overlap.

    Example: slacktide keys rotate 0f3c9a61b2d4 --overlap 2h
    """
    from slacktide.daemon_client import DaemonClient, key_path

    _show_made(DaemonClient(url).post(key_path(key_id, "rotate"), {"overlap": overlap}), as_json)


@keys_app.command("audit", short_help="Show who changed what.")
def audit(
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many entries, the newest.")] = 50,
    url: Annotated[str, URL_OPTION] = DEFAULT_URL,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Show the newest entries of the audit log: which key changed what, when, with which result.

    Example: slacktide keys audit --limit 20
    """
    from slacktide.columns import UNKNOWN, aligned
    from slacktide.daemon_client import DaemonClient

    found = DaemonClient(url).get("audit", limit=limit)["data"]
    if as_json:
        print_json(found)
        return
    rows = [
        [one["at"], one["key"], str(one["status"]), one["code"] or UNKNOWN, one["action"], one["target"] or UNKNOWN]
        for one in found
    ]
    print(aligned([["AT", "KEY", "STATUS", "CODE", "ACTION", "TARGET"], *rows]))


def _named(scope: str) -> list[str]:
    return [one.strip() for one in scope.split(",") if one.strip()]


def _show_made(made: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    ends = f"until {made['expires_at']}" if made["expires_at"] else "until it is revoked"
    say(f"key {made['id']} opens {', '.join(made['scopes'])} for {made['tenant'] or 'all tenants'}, {ends}")
    if (old := made.get("replaces")) is not None:
        say(f"key {old['id']} stays good until {old['expires_at']}")
    say("keep it now: it is not shown again")
    print(made["key"])
