// One section per region: its grid in words, the ribbon of its intensity, and under it on the same axis its jobs.

import { element } from "./dom.js";
import { counted, duration, instant, instantMs } from "./format.js";
import { jobRows } from "./gantt.js";
import { steps } from "./ribbon.js";
import { timeline } from "./timeline.js";

const HOUR_MS = 3_600_000;
const PAST_RATIO = 0.25;
const LONGEST_PAST_H = 24;
const SPANS_H = [24, 72, 168];

const FEED_NAMES = { live: "live", cached: "from the cache", own_forecast: "own forecast", yearly_average: "yearly average" };

const pastHours = (hours) => Math.min(hours * PAST_RATIO, LONGEST_PAST_H);

/** The shortest span that shows where every open job ends, up to a week. */
export function hoursThatShow(openJobs, nowMs) {
  const lastMs = Math.max(nowMs, ...openJobs.filter((job) => job.plan).map((job) => instantMs(job.plan.end)));
  return SPANS_H.find((hours) => (hours - pastHours(hours)) * HOUR_MS >= lastMs - nowMs) ?? SPANS_H.at(-1);
}

/** The sections of all regions. `grid` holds [zone, what is known of it]. */
export function regionSections({ regions, grid, open, ended, nowMs, hours, width }) {
  const zones = new Map(grid);
  const pastMs = pastHours(hours) * HOUR_MS;
  const view = { fromMs: nowMs - pastMs, untilMs: nowMs - pastMs + hours * HOUR_MS, nowMs, width };
  const known = regions.map((region) => steps(zones.get(region.zone), view));
  const most = Math.max(100, ...known.flat().map((step) => step.gco2e_per_kwh ?? 0));
  return regions.map((region, index) => section(region, zones.get(region.zone), known[index], most, jobRows(region.name, open, ended, view), view));
}

function section(region, zone, zoneSteps, most, { rows, more }, view) {
  const title = element("h3", {}, region.name, element("span", { class: "quiet" }, ` zone ${region.zone}`));
  const used = region.free_gpus === null ? `${region.gpus} GPUs` : `${region.gpus - region.free_gpus} of ${counted(region.gpus, "GPU")} in use`;
  const words = inWords(zone, zoneSteps, view);
  return element("article", { class: "region" },
    element("div", { class: "heading" }, title, element("p", { class: "quiet" }, `${used}, PUE ${region.pue}`)),
    element("p", { class: "grid-words" }, ...words),
    timeline({ zone, steps: zoneSteps, most, rows, view, says: `${region.name}: ${words.map((one) => one.textContent ?? one).join("")}. ${counted(rows.length, "job")} in this span; the table below lists them.` }),
    more > 0 ? element("p", { class: "quiet" }, `${counted(more, "more job")} in this span, in the table below`) : null);
}

function inWords(zone, zoneSteps, view) {
  if (!zone || zone.rung === null) return [element("span", { class: "warn" }, "Nothing is known of this grid: work runs early, as if it were flat")];
  const value = zone.gco2e_per_kwh === null ? "not known now" : `${Math.round(zone.gco2e_per_kwh)} gCO₂e/kWh now`;
  return [element("strong", {}, value), lowestAhead(zoneSteps, view), element("span", { class: "quiet" }, ` · ${zone.signal}, ${zone.basis}`), provenance(zone)];
}

function lowestAhead(zoneSteps, { nowMs }) {
  const ahead = zoneSteps.filter((step) => step.toMs > nowMs && step.gco2e_per_kwh !== null);
  if (!ahead.length) return "";
  const lowest = ahead.reduce((best, step) => (step.gco2e_per_kwh < best.gco2e_per_kwh ? step : best));
  if (ahead.every((step) => step.gco2e_per_kwh === lowest.gco2e_per_kwh)) return "";
  if (lowest.fromMs <= nowMs) return ", nothing lower ahead";
  return `, lowest ahead ${Math.round(lowest.gco2e_per_kwh)} at ${instant(lowest.fromMs, nowMs)}`;
}

function provenance(zone) {
  if (zone.quality === "synthetic") return element("span", { class: "warn" }, " · synthetic: a made-up grid");
  const isSound = zone.rung === "live" && zone.quality !== "yearly_average";
  const said = [zone.feed, FEED_NAMES[zone.rung] ?? zone.rung, `${duration(zone.age_s)} old`, zone.quality.replace("_", " ")];
  return element("span", { class: isSound ? "quiet" : "warn" }, ` · ${[...new Set(said)].join(", ")}`);
}
