// One job in a dialog: why it is where it is, what it rests on, and a way to cancel it.

import { chosenJob, leaveJob } from "./addresses.js";
import { askWhy, cancelJob, saidOf } from "./daemon.js";
import { element, show } from "./dom.js";
import { duration, fullInstant, instantMs, UNKNOWN } from "./format.js";
import { nameOf } from "./tables.js";

const ENDED = new Set(["succeeded", "failed", "cancelled"]);

/** Opens and closes `dialog` as the address says. */
export function watchJobs(dialog) {
  const look = () => (chosenJob() === null ? dialog.close() : open(dialog, chosenJob()));
  dialog.addEventListener("close", () => chosenJob() !== null && leaveJob());
  window.addEventListener("hashchange", look);
  if (chosenJob() !== null) look();
}

async function open(dialog, id) {
  show(dialog, { id }, () => frame(dialog, element("p", { class: "quiet" }, "asking the daemon")));
  if (!dialog.open) dialog.showModal();
  try {
    const { job, why } = await askWhy(id);
    show(dialog, { job, why }, () => frame(dialog, ...details(dialog, job, why)));
  } catch (error) {
    const said = saidOf(error);
    show(dialog, { id, said }, () => frame(dialog, element("p", { class: "notice bad" }, said)));
  }
}

function frame(dialog, ...inside) {
  const close = element("button", { type: "button", class: "close", "aria-label": "Close" }, "×");
  close.addEventListener("click", () => dialog.close());
  return [close, ...inside];
}

function details(dialog, job, why) {
  const heading = element("h2", { id: "job-title" }, nameOf(job), " ", element("span", { class: `state ${job.state}` }, job.state));
  const facts = element("dl", { class: "facts" }, ...sayings(job, why).flatMap(([about, text]) => [element("dt", {}, about), element("dd", {}, text)]));
  const isOpen = !ENDED.has(job.state);
  return [heading, element("p", { class: "quiet" }, job.id), facts, isOpen ? cancelling(dialog, job) : null].filter((one) => one !== null);
}

function sayings(job, why) {
  if (job.ended_at) return [["ran", ranOf(job)], ...(job.reason ? [["because", job.reason]] : [])];
  const deadline = ["deadline", `${fullInstant(instantMs(job.deadline))}; it has to start by ${fullInstant(instantMs(why.latest_start))}`];
  if (why.explanation === null) return [["plan", why.why], deadline, ...forecasts(why)];
  return [...why.explanation.says.map((one) => [one.about, one.text]), deadline];
}

function ranOf(job) {
  if (!job.started_at) return "not at all";
  return `from ${fullInstant(instantMs(job.started_at))} to ${fullInstant(instantMs(job.ended_at))}${job.region ? `, in ${job.region}` : ""}`;
}

function forecasts(why) {
  return Object.entries(why.forecasts).map(([zone, one]) => [`grid of ${zone}`, one === null ? UNKNOWN : `${one.feed}, ${one.rung.replaceAll("_", " ")}, ${duration(one.age_s)} old`]);
}

function cancelling(dialog, job) {
  const actions = element("p", { class: "actions" });
  const ask = () => {
    const yes = element("button", { type: "button", class: "danger", id: "cancel-yes" }, "Cancel it for good");
    const no = element("button", { type: "button" }, "Keep it");
    yes.addEventListener("click", () => cancel(dialog, job, actions));
    no.addEventListener("click", offer);
    actions.replaceChildren(yes, no);
    yes.focus();
  };
  const offer = () => {
    const button = element("button", { type: "button", id: "cancel" }, "Cancel this job");
    button.addEventListener("click", ask);
    actions.replaceChildren(button);
  };
  offer();
  return actions;
}

async function cancel(dialog, job, actions) {
  try {
    await cancelJob(job.id);
    await open(dialog, job.id);
  } catch (error) {
    actions.replaceChildren(element("span", { class: "notice bad", role: "alert" }, saidOf(error)));
  }
}
