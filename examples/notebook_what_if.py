# %% [markdown]
# What is an hour of patience worth? A what-if in a notebook: open this file in Jupyter (with jupytext), VS Code or
# Spyder, or run it as it is. Needs the extra `plots`; everything is drawn from seeds.

# %%
from matplotlib import pyplot

from scheduler.quantities import parse_instant_s
from simulations import Result, Scenario, simulate
from simulations.scenario import GridSettings, JobSettings, RegionSettings

HOUR_S = 3600.0

# %% A small fleet on a made-up solar grid, with forty training jobs over three days.
scenario = Scenario(
    name="patience",
    start=parse_instant_s("2025-06-02T00:00Z"),
    seed=7,
    grid=GridSettings(archetypes={"SUNNY": "solar"}, span_s=8 * 24 * HOUR_S),
    region=(RegionSettings(name="plains", zone="SUNNY", gpus=32),),
    jobs=(JobSettings(name="training", count=40, span_s=72 * HOUR_S, max_gpus=4, interruptible_ratio=0.5),),
)
by_slack: dict[str, Result] = {
    slack: simulate(scenario, overrides={"jobs.slack_s": slack}) for slack in ("2h", "6h", "24h")
}

# %% Savings against running at once, signed, with what they cost.
for slack, result in by_slack.items():
    found = result.compare()
    print(f"slack {slack:>3}: {found.savings_ratio:+.1%} saved, {found.more_late} more late than at once")

# %% One policy against another on the same work.
further = by_slack["24h"].compare(by_slack["6h"])
if further.avoided_gco2e is not None:  # None where the grid was not known all the time
    print(f"24h instead of 6h: {further.savings_ratio:+.1%} saved, {further.avoided_gco2e / 1000:.1f} kg CO2e avoided")

# %% Every job as numpy columns; `.pandas()` makes a frame of them where pandas is installed.
jobs = by_slack["24h"].jobs()
longest = jobs["wait_s"].argmax()
print(f"{jobs['job'][longest]} waited {jobs['wait_s'][longest] / HOUR_S:.1f} h, the longest of {len(jobs)}")

# %% Pictures go onto any matplotlib axes.
figure, panels = pyplot.subplots(4, 1, figsize=(9, 10), layout="constrained")
best = by_slack["24h"]
best.plot_intensity(panels[0])
best.plot_power("baseline", panels[1])
best.plot_power("policy", panels[2])
best.plot_waits(panels[3])
pyplot.show()
