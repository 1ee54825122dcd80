// Why the lines of a batch wait or go, in a dialog of its own.

import { askBatchWhy, saidOf } from "./daemon.js";
import { element } from "./dom.js";
import { counted, duration, fullInstant, instantMs, percent, UNKNOWN, withDates } from "./format.js";

/** Asks the daemon and shows what it says until the reader closes it. */
export async function explainBatch(batch) {
  const close = element("button", { type: "button", class: "close", "aria-label": "Close" }, "×");
  const inside = element("div", { "aria-live": "polite" }, element("p", { class: "quiet" }, "asking the daemon"));
  const title = element("h2", { id: "batch-title" }, batch.metadata?.name ?? batch.model ?? batch.endpoint);
  const dialog = element("dialog", { id: "batch", "aria-labelledby": "batch-title" }, close, title, element("p", { class: "quiet" }, batch.id), inside);
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  try {
    inside.replaceChildren(facts(await askBatchWhy(batch.id)));
  } catch (error) {
    inside.replaceChildren(element("p", { class: "notice bad" }, saidOf(error)));
  }
}

function facts(told) {
  return element("dl", { class: "facts" }, ...sayings(told).flatMap(([about, text]) => [element("dt", {}, about), element("dd", {}, text)]));
}

function sayings(told) {
  const said = [["why", withDates(told.why).replaceAll("CO2e", "CO₂e")], ["done", done(told)], ["deadline", fullInstant(instantMs(told.deadline))]];
  if (told.phase === "ended") return said;
  if (told.need_s !== null) said.push(["left to do", `about ${duration(told.need_s)}, with the batches before it`]);
  if (told.latest_start !== null) said.push(["at the latest", `from ${fullInstant(instantMs(told.latest_start))} its lines go whatever the grid does`]);
  if (told.region !== null) said.push(["grid", `${intensity(told.intensity.now_gco2e_per_kwh)} now in ${told.region} (${told.zone})`]);
  said.push(["forecast", told.forecast === null ? UNKNOWN : `${told.forecast.feed}, ${told.forecast.rung.replaceAll("_", " ")}, ${duration(told.forecast.age_s)} old`]);
  return said;
}

function done({ lines, done_ratio: ratio }) {
  if (ratio === null) return "its lines are not counted yet";
  const failed = lines.failed ? `, ${lines.failed.toLocaleString("en")} of them failed` : "";
  const flying = lines.in_flight ? `; ${lines.in_flight.toLocaleString("en")} under way` : "";
  return `${percent(ratio)}: ${(lines.completed + lines.failed).toLocaleString("en")} of ${counted(lines.total, "line")}${failed}${flying}`;
}

const intensity = (gco2e) => (gco2e === null ? UNKNOWN : `${Math.round(gco2e)} gCO₂e/kWh`);
