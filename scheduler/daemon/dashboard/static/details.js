// One job in a dialog: why it is where it is, what it rests on, and what can be done with it.

import { chosenJob, leaveJob } from "./addresses.js";
import { askWhy, saidOf } from "./daemon.js";
import { element, show } from "./dom.js";
import { duration, fullInstant, instantMs, UNKNOWN, withDates } from "./format.js";
import { jobActions } from "./job_actions.js";
import { nameOf, sizeOf, stateOf } from "./tables.js";

/** Opens and closes `dialog` as the address says. `mayChange()` is whether the reader may do more than look. */
export function watchJobs(dialog, mayChange) {
  let couldChange = mayChange();
  const look = () => {
    couldChange = mayChange();
    return chosenJob() === null ? dialog.close() : open(dialog, chosenJob(), mayChange);
  };
  dialog.addEventListener("close", () => chosenJob() !== null && leaveJob());
  window.addEventListener("hashchange", look);
  if (chosenJob() !== null) look();
  // Who looks may be known only after the job is shown.
  return () => { if (dialog.open && mayChange() !== couldChange) look(); };
}

async function open(dialog, id, mayChange) {
  show(dialog, { id }, () => frame(dialog, element("p", { class: "quiet" }, "asking the daemon")));
  if (!dialog.open) dialog.showModal();
  try {
    const { job, why } = await askWhy(id);
    show(dialog, { job, why }, () => frame(dialog, ...details(dialog, job, why, mayChange)));
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

function details(dialog, job, why, mayChange) {
  const heading = element("h2", { id: "job-title", tabindex: "-1" }, nameOf(job), " ", ...stateOf(job));
  const facts = element("dl", { class: "facts" }, ...sayings(job, why).flatMap(([about, text]) => [element("dt", {}, about), element("dd", {}, text)]));
  const changed = async () => {
    await open(dialog, job.id, mayChange);
    dialog.querySelector("#job-title")?.focus(); // what was pressed is gone; the state is read out
  };
  return [heading, element("p", { class: "quiet" }, job.id), facts, mayChange() ? jobActions(job, changed) : null].filter((one) => one !== null);
}

function sayings(job, why) {
  if (job.ended_at) return [["ran", ranOf(job)], ...(job.reason ? [["because", job.reason]] : [])];
  const held = job.on_hold_since ? [["on hold", `since ${fullInstant(instantMs(job.on_hold_since))}: it is not started until it is let go on`]] : [];
  const startsMs = instantMs(job.earliest_start);
  const starts = startsMs > instantMs(job.submitted_at) ? [["may start", `from ${fullInstant(startsMs)}`]] : [];
  const asked = [["needs", sizeOf(job).join(", ")], ...starts];
  const deadline = ["deadline", `${fullInstant(instantMs(job.deadline))}; it has to start by ${fullInstant(instantMs(why.latest_start))}`];
  if (why.explanation === null) return [...held, ["plan", why.why], ...asked, deadline, ...forecasts(why)];
  return [...held, ...why.explanation.says.map((one) => [one.about, withDates(one.text)]), ...asked, deadline];
}

function ranOf(job) {
  if (!job.started_at) return "not at all";
  return `from ${fullInstant(instantMs(job.started_at))} to ${fullInstant(instantMs(job.ended_at))}${job.region ? `, in ${job.region}` : ""}`;
}

function forecasts(why) {
  return Object.entries(why.forecasts).map(([zone, one]) => [`grid of ${zone}`, one === null ? UNKNOWN : `${one.feed}, ${one.rung.replaceAll("_", " ")}, ${duration(one.age_s)} old`]);
}
