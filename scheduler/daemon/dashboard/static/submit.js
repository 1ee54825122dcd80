// Submits a job: asks first what it would save and where it would run, and submits what was appraised.

import { addressOf } from "./addresses.js";
import { appraise, Refused, saidOf, submitJob } from "./daemon.js";
import { element } from "./dom.js";
import { fieldsOf } from "./fields.js";
import { day, instantMs, isEven, mass, percent, span, UNKNOWN, withDates } from "./format.js";
import { fill, jobOf, tell, untell, wrongsIn } from "./submission.js";
import { placesOf } from "./tables.js";

/** Opens `dialog` at a click on `opener`. `offered()` says which templates and regions there are, and what time it is. */
export function watchSubmitting(dialog, opener, offered) {
  opener.addEventListener("click", () => {
    const form = formOf(dialog, offered);
    dialog.replaceChildren(form);
    dialog.showModal();
    form.elements.template.focus();
  });
}

function formOf(dialog, offered) {
  const said = element("div", { id: "submit-said", "aria-live": "polite" });
  const form = element("form", { class: "submit", novalidate: "" },
    element("button", { type: "button", class: "close", "aria-label": "Close" }, "×"),
    element("h2", { id: "submit-title" }, "Submit a job"),
    ...fieldsOf(offered()),
    said, element("p", { class: "actions" },
      element("button", { type: "submit", id: "submit-ask" }, "Show what it would save"),
      element("button", { type: "button", class: "main", id: "submit-go", disabled: "" }, "Submit it")));
  listen(dialog, form, said, () => offered().nowMs);
  return form;
}

function listen(dialog, form, said, nowMs) {
  const go = form.querySelector("#submit-go");
  let asked = null; // the appraised job, and the key that makes it one job however often it is sent
  const changed = () => {
    asked = null;
    go.disabled = true;
    said.replaceChildren();
    untell(form);
  };
  form.querySelector(".close").addEventListener("click", () => dialog.close());
  form.addEventListener("input", changed);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    changed();
    const wrongs = wrongsIn(form, nowMs());
    for (const [name, what] of wrongs) tell(form, name, what);
    if (wrongs.length) return;
    const job = jobOf(form);
    const mine = asked = { job, key: randomKey() };
    await trying(form, said, async () => {
      const draft = await appraise(job);
      if (asked !== mine) return; // changed while the daemon was thinking
      said.replaceChildren(appraisal(draft));
      go.disabled = false;
      go.focus();
    });
  });
  go.addEventListener("click", () => trying(form, said, async () => {
    const { id } = await submitJob(asked.job, asked.key);
    dialog.close();
    location.hash = addressOf(id);
  }));
}

async function trying(form, said, doing) {
  try {
    await doing();
  } catch (error) {
    const text = saidOf(error);
    const isRefused = error instanceof Refused;
    const helps = isRefused ? error.suggestions.filter((one) => one.changes.every(({ field }) => form.elements.namedItem(field) !== null)) : [];
    if (helps.length) said.replaceChildren(...refusal(form, text, error.suggestions, helps));
    else if (isRefused && error.param && tell(form, error.param, withoutName(text, error.param))) return;
    else said.replaceChildren(notice(text));
    said.scrollIntoView({ block: "nearest" });
  }
}

const notice = (text) => element("p", { class: "notice bad", role: "alert" }, text);
const withoutName = (text, name) => (text.startsWith(`${name}: `) ? text.slice(name.length + 2) : text).replace(/\.$/, "");

// The refusal, and what was tried and helps, each a press away.
function refusal(form, text, suggestions, helps) {
  const told = `; ${suggestions.map((one) => one.text).join(", or ")}`;
  const buttons = helps.map(({ text: what, changes }) => {
    const button = element("button", { type: "button" }, capital(withDates(what)));
    button.addEventListener("click", () => {
      fill(form, changes);
      form.requestSubmit();
    });
    return element("li", {}, button);
  });
  return [notice(`${capital(withDates(text.endsWith(told) ? text.slice(0, -told.length) : text))}.`),
    element("h3", { id: "submit-helps" }, "What would help"), element("ul", { class: "helps", "aria-labelledby": "submit-helps" }, buttons)];
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

// Not crypto.randomUUID: browsers have it on encrypted pages and loopback only.
const randomKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

function comparison(emitted, baseline, ratio) {
  if (isEven(ratio)) return `${mass(emitted)}, as much as at once, by forecast`;
  return `${mass(emitted)}, instead of ${mass(baseline)} at once: ${percent(Math.abs(ratio))} ${ratio < 0 ? "more" : "less"}, by forecast`;
}

function appraisal({ plan }) {
  const { emissions_gco2e: emitted, baseline_emissions_gco2e: baseline, savings_ratio: ratio } = plan;
  const fromMs = instantMs(plan.start);
  const isKnown = emitted !== null && baseline !== null && ratio !== null;
  const pieces = plan.segments.length > 1 ? `, ${plan.segments.length} pieces` : "";
  return element("dl", { class: "facts appraisal" },
    element("dt", {}, "would run"), element("dd", {}, `${span(fromMs, instantMs(plan.end), fromMs)} UTC on ${day(fromMs)}, in ${placesOf(plan.segments)}${pieces}`),
    element("dt", {}, "would emit"), element("dd", {}, isKnown ? comparison(emitted, baseline, ratio) : UNKNOWN),
    element("dt", {}, "because"), element("dd", {}, plan.why.split(": ").slice(1).join(": ") || plan.why));
}
