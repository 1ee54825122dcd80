// What shaping does for each model: how full its workers are, how long requests are held, how many go together, and what a
// token costs with and without company.

import { element } from "./dom.js";
import { counted, duration, percent, perToken } from "./format.js";
import { table } from "./tables.js";

/** `models` are [name, row]; `heap` is the account by model, or null while it is asked for. */
export function modelSections({ models, heap }) {
  if (!models.length) return element("p", { class: "quiet" }, "No worker is set, so there is nothing to batch.");
  return models.map(([name, model]) => section(name, model, heap?.find((one) => one.name === name) ?? null));
}

function section(name, model, heap) {
  const released = Object.entries(model.released);
  return element("article", { class: "model" }, element("h3", {}, name),
    element("dl", { class: "figures four" }, occupancy(model), held(released), together(released), tokenCost(heap)),
    heap === null ? null : costBars(heap), released.length ? reasons(released) : null);
}

function figure(name, value, said, more = null) {
  return element("div", {}, element("dt", {}, name), element("dd", { class: "value" }, value), more === null ? null : element("dd", {}, more), element("dd", { class: "said" }, said));
}

function occupancy({ running, places, held }) {
  const bar = element("meter", { min: 0, max: Math.max(1, places), value: running, "aria-label": "places taken" });
  return figure("Occupancy now", places ? percent(running / places) : "–", `${running.toLocaleString("en")} of ${counted(places, "place")} taken, ${held.toLocaleString("en")} held`, bar);
}

const sum = (released, field) => released.reduce((total, [, one]) => total + one[field], 0);

function held(released) {
  const requests = sum(released, "requests");
  return figure("Held", requests ? duration(sum(released, "held_s") / requests) : "–", requests ? `on average, of ${counted(requests, "request")} since the start` : "no request yet");
}

function together(released) {
  const groups = sum(released, "groups");
  return figure("Released together", groups ? oneDigit(sum(released, "requests") / groups) : "–", groups ? `requests on average, in ${counted(groups, "release")}` : "no request yet");
}

const oneDigit = (value) => value.toLocaleString("en", { maximumFractionDigits: 1 });

function tokenCost(heap) {
  if (heap === null || !heap.output_tokens) return figure("Energy", "–", "no answered token in 30 days");
  const alone = heap.requests_alone_j;
  const said = alone === null ? "alone: not known, the worker has no profile" : `${percent(1 - heap.requests_j / alone)} less than ${perToken(alone / heap.output_tokens)} one at a time`;
  return figure("Energy", perToken(heap.requests_j / heap.output_tokens), said);
}

function costBars(heap) {
  if (heap.requests_alone_j === null || !heap.output_tokens) return null;
  const most = Math.max(heap.requests_alone_j, heap.requests_j);
  const bar = (name, j, kind) => {
    const filled = element("span", { class: `fill ${kind}` });
    filled.style.width = `${(100 * j) / most}%`;
    return element("li", {}, element("span", { class: "name" }, name), element("span", { class: "track" }, filled), element("span", { class: "amount" }, perToken(j / heap.output_tokens)));
  };
  return element("ul", { class: "bars wide" }, bar("one at a time, by the model", heap.requests_alone_j, "once"), bar("as it was served", heap.requests_j, "emitted"));
}

// Why a group went, in words; a reason that is not here stands as it is.
const BECAUSE = {
  pass_through: "nothing is held for this model", dense: "enough were together", hold_over: "they had waited as long as they may", planned: "their clean hour had come",
  latest_start: "the deadline allowed no more waiting", full: "the group was full", paced: "it was their turn in a regular stream",
  joined: "what ran took them along", not_worth_waiting: "one more would have saved less than the wait",
};

function reasons(released) {
  const rows = released.map(([reason, one]) => [[BECAUSE[reason] ?? reason.replaceAll("_", " ")], [one.requests.toLocaleString("en")], [one.groups.toLocaleString("en")], [oneDigit(one.requests / one.groups)], [duration(one.held_s / one.requests)]]);
  return table(["Released because", "Requests", "Releases", "Together", "Held on average"], rows, "Why requests were released", "numeric plain");
}
