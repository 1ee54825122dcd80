"""[[pool]] of FLEET.toml: tokens that may fill any hole, and what a GPU of each region makes of them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from slacktide.file_places import nearest_of
from slacktide.fleet_tables import Tables
from slacktide.terminal import UsageProblem

if TYPE_CHECKING:
    from collections.abc import Collection

    from scheduler.planning.plan import Region
    from scheduler.planning.whole_fleet.token_pools import Density, Pool
    from scheduler.toml_positions import KeyPath

# Where only a model is named: requests of a chat, and a batch beyond which a token costs hardly less.
_PROMPT_TOKENS, _OUTPUT_TOKENS, _MOST_SEQUENCES = 350.0, 400.0, 256
_RATES = ("tokens_per_s_per_gpu", "power_w_per_gpu")
_MOST_PRIORITY = 1_000_000
# Fifty are divided in under a second; what it takes grows with the cube of their number.
_MOST_POOLS = 50


def pools(tables: Tables, regions: list[Region]) -> tuple[Pool, ...]:
    """The pools in the order of the file. Raises UsageProblem that names line and column."""
    found: dict[str, Pool] = {}
    if len(tables.pools) > _MOST_POOLS:
        hint = "put pools of one model and one finish_by together"
        raise tables.wrong(("pool", _MOST_POOLS), f"{len(tables.pools)} pools, {_MOST_POOLS} are planned", hint)
    for number in range(len(tables.pools)):
        pool = _pool(tables, number, regions)
        if pool.name in found:
            raise tables.wrong(("pool", number, "name"), f"pool {pool.name} is there twice", "give each its own name")
        found[pool.name] = pool
    return tuple(found.values())


def refuse_names_of_jobs(tables_path: object, found: Collection[Pool], job_ids: Collection[str]) -> None:
    """A plan tells pools and jobs apart by their names."""
    for pool in found:
        if pool.name in job_ids:
            raise UsageProblem(
                f"{tables_path}: pool {pool.name} is the name of a job too", "give the pool another name"
            )


def _pool(tables: Tables, number: int, regions: list[Region]) -> Pool:
    from scheduler.planning.whole_fleet.token_pools import Pool

    where: KeyPath = ("pool", number)
    name = tables.text((*where, "name"), "embeddings")
    if not name.isprintable():
        raise tables.wrong((*where, "name"), "name holds a sign that cannot be printed", "use letters and digits")
    tokens = tables.number((*where, "tokens"), low=0.0)
    if not tokens:
        raise tables.wrong((*where, "tokens"), f"pool {name} asks for no tokens", "write, for instance, tokens = 40e6")
    from_s, to_s = _instant_s(tables, (*where, "earliest_start")), _instant_s(tables, (*where, "finish_by"))
    if not to_s > from_s:
        raise tables.wrong((*where, "finish_by"), "finish_by lies not after earliest_start", "leave time between them")
    return Pool(
        name=name,
        tokens=tokens,
        earliest_start_at_s=from_s,
        deadline_at_s=to_s,
        densities=_densities(tables, where, regions),
        regions=_zones(tables, where, regions),
        priority=_priority(tables, where),
    )


def _zones(tables: Tables, where: KeyPath, regions: list[Region]) -> tuple[str, ...]:
    given = tables.value((*where, "zones"))
    if given is None:
        return ()
    known = tuple(region.name for region in regions)
    if not isinstance(given, list) or not given:
        raise tables.wrong((*where, "zones"), f"zones = {given!r}", 'write zones = ["DE", "FR"], or leave it out')
    for zone in given:
        if zone not in known:
            raise tables.wrong((*where, "zones"), f"the fleet has no zone {zone}", nearest_of(str(zone), known))
    return tuple(given)


def _densities(tables: Tables, where: KeyPath, regions: list[Region]) -> dict[str, Density]:
    """By [[pool.on]], else by what the pool says for all regions, else by its model on the region's GPU."""
    own = _own_densities(tables, where, regions)
    given = _given(tables, where)
    found = {}
    for index, region in enumerate(regions):
        density = own.get(region.name) or given or _modelled(tables, where, index)
        if density is not None:
            found[region.name] = density
    allowed = _zones(tables, where, regions) or tuple(region.name for region in regions)
    if missing := [zone for zone in allowed if zone not in found]:
        hint = f"write {' and '.join(_RATES)}, or model and the gpu of each region"
        raise tables.wrong(where, f"what a GPU in {missing[0]} makes of the pool is not known", hint)
    return found


def _own_densities(tables: Tables, where: KeyPath, regions: list[Region]) -> dict[str, Density]:
    found: dict[str, Density] = {}
    known = tuple(region.name for region in regions)
    for number in range(len(tables.value((*where, "on")) or ())):
        here: KeyPath = (*where, "on", number)
        zone = tables.text((*here, "zone"), "DE")
        if zone not in known:
            raise tables.wrong((*here, "zone"), f"the fleet has no zone {zone}", nearest_of(zone, known))
        density = _given(tables, here)
        if density is None:
            raise tables.wrong(here, f"nothing is said of {zone}", f"write {' and '.join(_RATES)}")
        found[zone] = density
    return found


def _given(tables: Tables, where: KeyPath) -> Density | None:
    from scheduler.planning.whole_fleet.token_pools import Density

    tokens_per_s, power_w = (tables.number((*where, key), low=0.0) for key in _RATES)
    if tokens_per_s is None and power_w is None:
        return None
    if not tokens_per_s or power_w is None:
        key = _RATES[1] if tokens_per_s else _RATES[0]
        raise tables.wrong((*where, key), f"{' and '.join(_RATES)} go together, the first above 0", "give both")
    return Density(tokens_per_s=tokens_per_s, power_w=power_w)


def _modelled(tables: Tables, where: KeyPath, index: int) -> Density | None:
    """The energy model's full batch on one GPU; None where no model or no GPU is named."""
    from scheduler.planning.whole_fleet.token_pools import Density
    from shaping.deployment import ProfileError
    from shaping.energy import max_batch_sequences
    from shaping.profiles import deployment
    from shaping.saturation import Traffic, saturated

    model, gpu = tables.value((*where, "model")), tables.value(("region", index, "gpu"))
    if model is None or gpu is None:
        return None
    try:
        served = deployment(gpu=str(gpu), model=str(model))
    except ProfileError as error:
        raise tables.wrong((*where, "model"), error.what, error.remedy) from None
    prompt_tokens = tables.number((*where, "prompt_tokens"), low=0.0)
    traffic = Traffic(
        prompt_tokens=_PROMPT_TOKENS if prompt_tokens is None else prompt_tokens,
        output_tokens=tables.number((*where, "output_tokens"), low=1.0) or _OUTPUT_TOKENS,
    )
    fits = max_batch_sequences(served, traffic.prompt_tokens + traffic.output_tokens)
    if fits < 1:
        raise tables.wrong((*where, "model"), f"no request of this length fits beside {model} on {gpu}", "shorten them")
    full = saturated(served, min(fits, _MOST_SEQUENCES), traffic)
    return Density(tokens_per_s=full.tokens_per_s, power_w=full.power_w)


def _priority(tables: Tables, where: KeyPath) -> int:
    found: Any = tables.value((*where, "priority"))
    if found is None:
        return 0
    if not isinstance(found, int) or isinstance(found, bool) or abs(found) > _MOST_PRIORITY:
        raise tables.wrong((*where, "priority"), f"priority = {found!r}", "write a whole number")
    return found


def _instant_s(tables: Tables, where: KeyPath) -> float:
    from scheduler.quantities import QuantityError
    from slacktide.bounded import bounded_instant_s

    given = tables.value(where)
    text = given.isoformat() if isinstance(given, datetime) else given
    if not isinstance(text, str):
        raise tables.wrong(where, f"a pool without {where[-1]}", f'write {where[-1]} = "2022-03-02T08:00Z"')
    try:
        return bounded_instant_s(text)
    except QuantityError as problem:
        what, _, remedy = str(problem).partition(": ")
        raise tables.wrong(where, f"{where[-1]}: {what}", remedy) from None
