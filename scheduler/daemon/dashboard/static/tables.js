// Jobs and accounts as tables. On a narrow screen the rows become cards, so every cell carries the name of its column.

import { element } from "./dom.js";
import { addressOf } from "./addresses.js";
import { counted, duration, energy, instant, instantMs, isLoss, mass, NBSP, percent, power, span, UNKNOWN } from "./format.js";

const STATE_ORDER = ["running", "starting", "paused", "waiting", "quarantined"];

/** Open jobs first, in the order in which they run; then what has ended, the latest first. */
export function jobsTable({ open, openCount, ended, nowMs }) {
  if (!open.length && !ended.length) return element("p", { class: "quiet" }, "No job is here. Submit one under Jobs, with slacktide submit, or as a fine-tuning by any client of OpenAI’s.");
  const latest = [...ended].sort((one, other) => other.ended_at.localeCompare(one.ended_at));
  const rows = [...open].sort(inOrder).concat(latest).map((job) => jobRow(job, nowMs));
  const jobs = table(["Job", "State", "May run", "Runs", "Needs", "Saving", "Why"], rows, "Jobs");
  return openCount > open.length ? [element("p", { class: "quiet" }, `The newest ${open.length} of ${counted(openCount, "open job")}, and what ended last.`), jobs] : jobs;
}

function inOrder(one, other) {
  return STATE_ORDER.indexOf(one.state) - STATE_ORDER.indexOf(other.state) || startOf(one).localeCompare(startOf(other)) || one.id.localeCompare(other.id);
}

const startOf = (job) => job.plan?.start ?? job.earliest_start;

/** What people call a job: its label, else its template, else its id. */
export const nameOf = (job) => job.label || job.template || job.id;

/** The regions of pieces, and the numbers of GPUs where they were chosen. */
export function placesOf(segments) {
  const places = [...new Set(segments.map((one) => one.region))].join(", ");
  const counts = [...new Set(segments.map((one) => one.gpus).filter((one) => one !== null))];
  return counts.length ? `${places} on ${counts.join(", then ")}${NBSP}${counts.at(-1) === 1 ? "GPU" : "GPUs"}` : places;
}

/** Its state, and whether it is on hold, which is no state of its own. */
export const stateOf = (job) => [element("span", { class: `state ${job.state}` }, job.state), ...(job.on_hold_since ? [element("span", { class: "quiet held" }, "on hold")] : [])];

function jobRow(job, nowMs) {
  const window = span(instantMs(job.earliest_start), instantMs(job.deadline), nowMs);
  return [
    [element("a", { href: addressOf(job.id) }, element("strong", {}, nameOf(job))), element("span", { class: "quiet id" }, job.id)],
    stateOf(job),
    [window],
    whenAndWhere(job, nowMs),
    needs(job),
    saving(job),
    [whyOf(job)],
  ];
}

/** Its own size, and what it draws; of one that changes along the run or takes other numbers of GPUs, that as well. */
export function sizeOf(job) {
  const phases = job.power_profile;
  const counts = job.elastic.map((one) => one.gpus);
  const more = counts.length ? `; may take ${counts.join(", ").replace(/, (\d+)$/, " or $1")} GPUs` : "";
  const drawn = phases.length ? `${counted(phases.length, "phase")} of up to ${power(Math.max(...phases.map((one) => one.power_w)))}` : `${power(job.power_w)}${more}`;
  return [`${counted(job.gpus, "GPU")}, ${duration(job.duration_s)}`, drawn];
}

function needs(job) {
  const [size, drawn] = sizeOf(job);
  return [size, element("span", { class: "quiet" }, drawn)];
}

function whenAndWhere(job, nowMs) {
  const from = instantMs(job.plan ? job.plan.start : job.started_at);
  const until = instantMs(job.plan ? job.plan.end : job.ended_at);
  if (from === null) return ["–"];
  const segments = job.plan?.segments ?? [];
  const places = segments.length ? placesOf(segments) : job.region;
  const pieces = segments.length > 1 ? `, ${segments.length} pieces` : "";
  return [span(from, until, nowMs), ...(places ? [element("span", { class: "quiet" }, `in ${places}${pieces}`)] : [])];
}

function saving(job) {
  if (!job.plan) return [element("span", { class: "quiet" }, job.ended_at ? "in the account" : "–")];
  const { emissions_gco2e: emitted, baseline_emissions_gco2e: baseline, savings_ratio: ratio } = job.plan;
  if (emitted === null || baseline === null) return [element("span", { class: "quiet" }, job.state === "running" ? "when it ends" : UNKNOWN)];
  const grams = element("span", { class: "quiet" }, `${mass(baseline - emitted)} forecast`);
  return [element("span", { class: isLoss(ratio) ? "worse" : null }, percent(ratio)), grams];
}

// The place and the instant that every reason begins with stand in the column before.
const whyOf = (job) => (job.plan ? job.plan.why.split(": ").slice(1).join(": ") : job.reason || (job.ended_at ? "" : "–"));

/** The account by kind of work. */
export function accountTable(account) {
  const kinds = Object.entries(account.by_category);
  if (!kinds.length) return element("p", { class: "quiet" }, "Nothing has been booked in the last 30 days.");
  const rows = [...kinds.map(([name, one]) => accountRow(name, one)), accountRow("all", account)];
  return table(["Work", "Uses", "Energy", "Not priced", "Emitted", "At once", "Saved"], rows, "Account by kind of work", "numeric");
}

function accountRow(name, one) {
  const saved = one.savings_ratio === null ? UNKNOWN : `${mass(one.avoided_gco2e)} (${percent(one.savings_ratio)})`;
  const unpriced = one.unpriced_kwh > 0 ? energy(one.unpriced_kwh) : "none";
  return [[name], [one.uses.toLocaleString("en")], [energy(one.energy_kwh)], [unpriced], [mass(one.emissions_gco2e)], [mass(one.at_once_emissions_gco2e)],
    [element("span", { class: isLoss(one.savings_ratio) ? "worse" : null }, saved)]];
}

/** A table; a row is a list of cells, a cell a list of nodes and text. */
// Roles are spelled out because a row that is laid out as a card would lose them.
export function table(columns, rows, caption, kind = null) {
  const head = element("tr", { role: "row" }, columns.map((name) => element("th", { scope: "col", role: "columnheader" }, name)));
  const body = rows.map((cells) => element("tr", { role: "row" }, cells.map((content, column) => cellOf(content, columns[column], column))));
  return element("table", { role: "table", class: kind, "aria-label": caption },
    element("thead", { role: "rowgroup" }, head), element("tbody", { role: "rowgroup" }, body));
}

function cellOf(content, column, index) {
  const inside = element("div", {}, ...content);
  return index === 0 ? element("th", { scope: "row", role: "rowheader" }, inside) : element("td", { role: "cell", "data-column": column }, inside);
}
