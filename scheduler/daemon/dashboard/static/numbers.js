// The headline: what was saved, how that is known, and what the daemon has in its hands.

import { element } from "./dom.js";
import { counted, energy, isEven, isLoss, mass, percent } from "./format.js";

/** The figures of one look, as nodes. */
export function numbers({ account, requests, workers, jobs, ahead }) {
  return [saved(account), figures(account, requests, workers, jobs, ahead)];
}

function saved(account) {
  const priced = account.energy_kwh - account.unpriced_kwh;
  if (account.uses === 0) return headline("Nothing yet", "Savings appear here when the first request or job ends.");
  if (!(priced > 0)) return headline("Not known", "Nothing is known of the grid’s intensity while this work ran.");
  const isWorse = isLoss(account.savings_ratio);
  const value = [mass(Math.abs(account.avoided_gco2e)), element("small", {}, isWorse ? " CO₂e more" : " CO₂e avoided")];
  return headline(value, comparison(account.savings_ratio), bars(account), isWorse ? "worse" : null);
}

function comparison(ratio) {
  if (ratio === null) return "the share is not known";
  if (isEven(ratio)) return "as much as running everything at once";
  return `${percent(Math.abs(ratio))} ${ratio < 0 ? "more" : "less"} than running everything at once`;
}

function headline(value, said, more = null, tone = null) {
  const body = [element("p", { class: "label" }, "Saved so far, last 30 days"), element("p", { class: "value" }, value)];
  return element("div", { class: tone ? `saved ${tone}` : "saved" }, ...body, element("p", { class: "said" }, said), more);
}

function bars(account) {
  const most = Math.max(account.at_once_emissions_gco2e, account.emissions_gco2e);
  const bar = (name, gco2e, kind) => {
    const filled = element("span", { class: `fill ${kind}` });
    filled.style.width = `${most > 0 ? (100 * gco2e) / most : 0}%`;
    return element("li", {}, element("span", { class: "name" }, name), element("span", { class: "track" }, filled), element("span", { class: "amount" }, mass(gco2e)));
  };
  return element("ul", { class: "bars" },
    bar("at once", account.at_once_emissions_gco2e, "once"), bar("emitted", account.emissions_gco2e, "emitted"));
}

function figures(account, requests, workers, jobs, ahead) {
  return element("dl", { class: "figures" },
    figure("Energy", energy(account.energy_kwh), howMeasured(account) + howSure(account)),
    figure("Carbon known for", account.energy_kwh > 0 ? percent(account.priced_ratio) : "–", howPriced(account), account.unpriced_kwh > 0),
    figure("Planned ahead", ahead.known ? mass(ahead.avoided_gco2e) : "–", saidAhead(ahead)),
    figure("Requests", `${requests.held.toLocaleString("en")} held`, `${requests.running.toLocaleString("en")} at the workers`),
    figure("Workers", workers.configured ? `${workers.up} of ${workers.configured} up` : "none", workers.configured ? "GPU servers behind the gateway" : "jobs need none", workers.up < workers.configured),
    figure("Jobs", `${jobs.waiting + jobs.paused} waiting`, jobsSaid(jobs), jobs.quarantined > 0));
}

function figure(name, value, said, isWarning = false) {
  return element("div", { class: isWarning ? "warns" : null },
    element("dt", {}, name), element("dd", { class: "value" }, value), element("dd", { class: "said" }, said));
}

function howMeasured(account) {
  if (!(account.energy_kwh > 0)) return "nothing used yet";
  const metered = account.metered_kwh / account.energy_kwh;
  if (metered === 0) return "modelled, none of it metered";
  return metered >= 1 ? "all of it metered" : `${percent(metered)} metered, the rest modelled`;
}

function howSure({ bands, energy_kwh, unbanded_kwh }) {
  if (!bands || !(energy_kwh > 0)) return "";
  const { low, high } = bands.energy_kwh;
  const part = unbanded_kwh > 0 ? `${energy(bands.of_energy_kwh)} of it ` : "";
  return `; ${part}between ${energy(low)} and ${energy(high)} (80%)`;
}

function howPriced(account) {
  if (!(account.energy_kwh > 0)) return "nothing used yet";
  if (account.unpriced_kwh > 0) return `of the energy; ${energy(account.unpriced_kwh)} are in no saving`;
  return "of the energy, by realised intensity, else by forecast";
}

function saidAhead(ahead) {
  if (!ahead.jobs) return "no job waits";
  if (!ahead.known) return "no forecast reaches the plan";
  const isWorse = ahead.avoided_gco2e < 0;
  const rest = ahead.jobs > ahead.known ? `; not known for ${ahead.jobs - ahead.known}` : "";
  return `${isWorse ? "more than" : "to be saved against"} at once, a forecast for ${counted(ahead.known, "waiting job")}${rest}`;
}

function jobsSaid(jobs) {
  const parts = [`${jobs.starting + jobs.running} running`, `${jobs.succeeded.toLocaleString("en")} done`];
  for (const state of ["failed", "cancelled", "quarantined"]) if (jobs[state]) parts.push(`${jobs[state]} ${state}`);
  return parts.join(", ");
}

/** What the plan expects of the jobs that wait, `waiting` in all: a sum over those whose forecast reaches. */
export function planned(openJobs, waiting) {
  const plans = openJobs.filter((job) => job.state === "waiting" || job.state === "paused").map((job) => job.plan);
  const known = plans.filter((plan) => plan && plan.emissions_gco2e !== null && plan.baseline_emissions_gco2e !== null);
  const avoided = known.reduce((sum, plan) => sum + plan.baseline_emissions_gco2e - plan.emissions_gco2e, 0);
  return { jobs: waiting, known: known.length, avoided_gco2e: avoided };
}
