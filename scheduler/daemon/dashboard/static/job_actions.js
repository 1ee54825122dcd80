// What can be done with one job, as buttons: hold it, let it go, take it out of quarantine, cancel it.

import { changeJob, saidOf } from "./daemon.js";
import { element } from "./dom.js";

const HOLDABLE = new Set(["waiting", "paused", "starting", "running"]);
const HOLDING = new Set(["starting", "running"]);
const ENDED = new Set(["succeeded", "failed", "cancelled"]);

/** The buttons that the job's state allows; null where none does. `changed` is called after one has done its work. */
export function jobActions(job, changed) {
  if (ENDED.has(job.state)) return null;
  const actions = element("p", { class: "actions" });
  const press = (id, label, action, kind = null) => {
    const button = element("button", { type: "button", id, class: kind }, label);
    button.addEventListener("click", () => carryOut(actions, () => changeJob(job.id, action), changed));
    return button;
  };
  const offer = () => {
    const cancel = element("button", { type: "button", id: "cancel" }, "Cancel this job");
    cancel.addEventListener("click", ask);
    actions.replaceChildren(...holding(job, press), cancel);
  };
  const ask = () => {
    const yes = press("cancel-yes", "Cancel it for good", "cancel", "danger");
    const no = element("button", { type: "button" }, "Keep it");
    no.addEventListener("click", () => { offer(); actions.querySelector("#cancel").focus(); });
    actions.replaceChildren(yes, no);
    no.focus();
  };
  offer();
  return actions;
}

function holding(job, press) {
  if (job.state === "quarantined") return [press("requeue", "Queue it again", "requeue")];
  if (job.on_hold_since !== null) return [press("resume", "Let it go on", "resume")];
  const mayHold = HOLDABLE.has(job.state) && (job.interruptible || !HOLDING.has(job.state));
  return mayHold ? [press("hold", "Put it on hold", "pause")] : [];
}

async function carryOut(actions, doing, changed) {
  try {
    await doing();
    await changed();
  } catch (error) {
    actions.querySelector(".notice")?.remove();
    actions.append(element("span", { class: "notice bad", role: "alert" }, saidOf(error)));
  }
}
