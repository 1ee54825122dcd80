"""`slacktide reproduce`: published tables recomputed from their inputs. Reads, asks, prints; decides no number."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slacktide import claims
from slacktide.terminal import JSON_OPTION, OwnFailure, UsageProblem, print_json, say

if TYPE_CHECKING:
    from simulations.reproductions.tables import Comparison, Pack, Reproduction, Row, Value

DATA_VARIABLE = "SLACKTIDE_DATA"
_BESIDE_THE_CHECKOUT = Path(__file__).resolve().parents[2] / "shared" / "data"
# A longer table is shown by its largest differences; the files have all of it.
_SHOWN_WHOLE, _SHOWN_WORST = 90, 20
_PIPED_COLUMNS = 140  # where nobody's screen sets a width, so that no cell is folded
_MOST_CELL_COLUMNS = 4  # with more, those that are the same in every row are said once, below


def reproduce(
    name: Annotated[str, typer.Argument(help="A study, claims, or all the studies.")] = "all",
    list_studies: Annotated[bool, typer.Option("--list", help="List the studies.")] = False,
    pack: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help=f"Folder of inputs; default: reproductions/NAME under ${DATA_VARIABLE}."),
    ] = None,
    cells: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Compute these cells instead: a CSV with the key columns of a table."),
    ] = None,
    system: Annotated[
        str, typer.Option(metavar="NAME", help="Of several systems in a folder of serving_logs, this one only.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write NAME.json, NAME.csv and NAME.png (extra: plots) there.")
    ] = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Recompute published tables and show them beside what was published.

    Example: slacktide reproduce gaia --out reproduced

    With --cells, the rows of the file come back in their order, every value column holding our number.
    """
    if list_studies:
        _list()
        return
    if name == claims.NAME:
        if pack or cells or system or out:
            raise UsageProblem("the claims have no inputs but their own", "leave the other options out, or use --json")
        claims.show_claims(as_json)
        return
    studies = _studies(name)
    if (pack or cells) and name == "all":
        raise UsageProblem("--pack and --cells are for one study", "name it: slacktide reproduce gaia --pack DIR")
    if system and name != "serving_logs":
        raise UsageProblem("--system is for serving_logs", "leave it out")
    if cells and out:
        raise UsageProblem("--out is for the published tables", "leave out --cells, or redirect what is printed")
    if cells:
        _answer(studies[0], pack, cells, system, as_json)
        return
    if out:
        _refuse_without_plots()
    found = [(study, _compared(study, pack, system)) for study in studies]
    if out:
        for study, compared in found:
            _write(study, compared, out)
    if as_json:
        documents = [_document(*one) for one in found]
        print_json(documents if name == "all" else documents[0])
    else:
        for study, compared in found:
            _show(study, compared)


def _list() -> None:
    from simulations.reproductions.catalogue import REPRODUCTIONS

    for name, study in REPRODUCTIONS.items():
        print(f"{name:<26}{study.study}")
    print(f"{claims.NAME:<26}{claims.ABOUT}")


def _studies(name: str) -> list[Reproduction]:
    from simulations.reproductions.catalogue import REPRODUCTIONS

    if name == "all":
        return list(REPRODUCTIONS.values())
    if name not in REPRODUCTIONS:
        raise UsageProblem(f"no study is called {name!r}", f"one of: {', '.join(REPRODUCTIONS)}, {claims.NAME}, all")
    return [REPRODUCTIONS[name]]


# -- reading -----------------------------------------------------------------------------------------------------------


def _pack(study: Reproduction, folder: Path | None) -> Pack:
    from simulations.reproductions.pack_files import read_pack
    from simulations.reproductions.tables import PackError

    data = Path(os.environ.get(DATA_VARIABLE) or _BESIDE_THE_CHECKOUT)
    place = folder or data / study.inputs
    if not place.is_dir():
        raise UsageProblem(
            f"the inputs of {study.name} are not in {place}",
            f"set {DATA_VARIABLE} to the folder that has {study.inputs}, or give --pack DIR",
        )
    try:
        return read_pack(place)
    except PackError as error:
        raise UsageProblem(str(error), "see the pack's README for its files") from error


def _answer(study: Reproduction, folder: Path | None, file: Path, system: str, as_json: bool) -> None:
    from simulations.reproductions.pack_files import read_rows
    from simulations.reproductions.tables import CellError, PackError, our_rows, table_for

    pack = _pack(study, folder)
    try:
        cells = _of_system(read_rows(file), system)
        rows = our_rows(table_for(study, list(cells[0])), pack, cells) if cells else []
    except PackError as error:
        raise UsageProblem(str(error), "see the pack's README for its files") from error
    except CellError as error:
        raise UsageProblem(f"{file}: {error}", "the key columns are those of the pack's expected*.csv") from error
    _tell_unanswered(rows)
    if as_json:
        print_json({"name": study.name, "rows": rows})
    else:
        _show_rows(rows)


def _tell_unanswered(rows: Sequence[dict[str, Value]]) -> None:
    unanswered = [(line, row["reason"]) for line, row in enumerate(rows, start=1) if "reason" in row]
    if unanswered:
        line, reason = unanswered[0]
        say(f"{len(unanswered)} of {len(rows)} rows have no answer; the first is row {line}: {reason}")


def _of_system(cells: Sequence[Row], system: str) -> Sequence[Row]:
    """Rows of that system; one that names none is taken to be of it."""
    if not system:
        return cells
    mine = [{**row, "system_id": system} for row in cells if row.get("system_id") in ("", None, system)]
    if not mine:
        known = ", ".join(sorted({row["system_id"] for row in cells}))
        raise UsageProblem(f"no row is of the system {system!r}", f"there are rows of {known}")
    return mine


def _compared(study: Reproduction, folder: Path | None, system: str) -> list[Comparison]:
    from simulations.reproductions.tables import CellError, PackError, comparisons

    pack = _pack(study, folder)
    tables = [table for table in study.tables if table.expected in pack.tables]
    if not tables:
        wanted = ", ".join(f"{table.expected}.csv" for table in study.tables)
        raise UsageProblem(f"{pack.place} has no published table ({wanted})", "give the cells you want: --cells FILE")
    try:
        cells = {table.expected: _of_system(pack.table(table.expected), system) for table in tables}
        return [one for table in tables for one in comparisons(table, pack, cells[table.expected])]
    except (CellError, PackError) as error:
        raise UsageProblem(str(error), "see the pack's README for its files") from error


# -- writing -----------------------------------------------------------------------------------------------------------


def _refuse_without_plots() -> None:
    from importlib.util import find_spec

    if find_spec("matplotlib") is None:
        raise UsageProblem("--out draws with matplotlib", "pip install 'slacktide[plots]', or use --json")


def _write(study: Reproduction, found: Sequence[Comparison], folder: Path) -> None:
    import json

    from simulations.reproductions.figure import save_figure

    stem = folder.expanduser() / study.name
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(_document(study, found), indent=2, allow_nan=False, ensure_ascii=False)
        stem.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
        _write_csv([_record(one) for one in found], stem.with_suffix(".csv"))
        save_figure(study.study, found, stem.with_suffix(".png"))
    except OSError as error:
        raise OwnFailure(f"{stem} cannot be written: {error.strerror}") from error
    say(f"wrote {stem}.json, .csv and .png")


def _write_csv(records: Sequence[dict[str, Value]], path: Path) -> None:
    import csv

    columns = list(dict.fromkeys(name for record in records for name in record))
    last = ["column", "published", "ours", "difference"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [name for name in columns if name not in last] + last, lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)


def _document(study: Reproduction, found: Sequence[Comparison]) -> dict[str, Any]:
    from simulations.reproductions.tables import worst

    widest = worst(found)
    return {
        "name": study.name,
        "study": study.study,
        "rows": [_record(one) for one in found],
        "worst": _record(widest) if widest else None,
    }


def _record(one: Comparison) -> dict[str, Value]:
    values = {"column": one.column, "published": one.published, "ours": one.ours, "difference": one.difference}
    return {"table": one.table, **one.cell, **values}


# -- showing -----------------------------------------------------------------------------------------------------------


def _show(study: Reproduction, found: Sequence[Comparison]) -> None:
    from simulations.reproductions.tables import worst

    console = _console()
    console.print(f"\n[bold]{study.study}[/bold]")
    for name in dict.fromkeys(one.table for one in found):
        mine = [one for one in found if one.table == name]
        console.print()
        console.print(_table(mine))
        if len(mine) > _SHOWN_WHOLE:
            console.print(f"({_SHOWN_WORST} largest differences of {len(mine):,} values; --json and --out have all)")
        if widest := worst(mine):
            cell = ", ".join(str(value) for value in widest.cell.values())
            console.print(f"worst difference of {name}: {_small(widest.difference)} ({cell}, {widest.column})")


def _console() -> Any:
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=_PIPED_COLUMNS)


def _table(found: Sequence[Comparison]) -> Any:
    from rich.table import Table

    from simulations.reproductions.tables import largest_first

    shown = found if len(found) <= _SHOWN_WHOLE else largest_first(found)[:_SHOWN_WORST]
    same = _same_in_all(found)
    caption = "in every row: " + ", ".join(f"{name} {value}" for name, value in same.items()) if same else None
    table = Table(box=None, pad_edge=False, caption=caption, caption_justify="left")
    for name in (*(name for name in found[0].cell if name not in same), "quantity"):
        table.add_column(name, overflow="fold")
    for name in ("published", "ours", "difference"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in shown:
        cell = [str(value) for name, value in one.cell.items() if name not in same]
        table.add_row(
            *cell, one.column, _as_printed(one.published), _beside(one.ours, one.published), _small(one.difference)
        )
    return table


def _same_in_all(found: Sequence[Comparison]) -> dict[str, Value]:
    """What need not be repeated in each row of a table with many columns."""
    first = found[0].cell
    if len(first) <= _MOST_CELL_COLUMNS:
        return {}
    return {name: value for name, value in first.items() if all(one.cell.get(name) == value for one in found)}


def _show_rows(rows: Sequence[dict[str, Value]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in rows[0] if rows else ():
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(_text(value) for value in row.values()))
    _console().print(table)


def _text(value: Value) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _as_printed(published: Value) -> str:
    return "-" if published is None else str(published)


def _small(difference: Value) -> str:
    return f"{difference:+.1e}" if isinstance(difference, float) else _text(difference)


def _beside(ours: Value, published: Value) -> str:
    """Ours with two digits more than the published number has, so that rounding is seen as such."""
    if not isinstance(ours, float):
        return _text(ours)
    digits = len(str(published).partition(".")[2])
    return f"{ours:.{digits + 2}f}"
