// Submits a job: asks first what it would save and where it would run, and submits what was appraised.

import { addressOf } from "./addresses.js";
import { appraise, saidOf, submitJob } from "./daemon.js";
import { element } from "./dom.js";
import { day, instantMs, mass, percent, span, UNKNOWN } from "./format.js";

// [name in the API, what people call it, what stands there, hint]
const FIELDS = [
  ["label", "Name", "", "to find it again; may stay empty"],
  ["duration", "Runs for", "1h", "at most, such as 45m or 2h30m"],
  ["within", "Done within", "24h", "from now, such as 8h or 3d; the later, the cleaner"],
  ["power", "Power", "700W", "of its IT equipment while it runs"],
  ["gpus", "GPUs", "1", "that it holds"],
];

/** Opens `dialog` at a click on `opener`. `templates()` are [name, {arguments}]. */
export function watchSubmitting(dialog, opener, templates) {
  opener.addEventListener("click", () => {
    const form = formOf(dialog, templates());
    dialog.replaceChildren(form);
    dialog.showModal();
    form.elements.template.focus();
  });
}

function formOf(dialog, templates) {
  const names = templates.map(([name]) => element("option", { value: name }, name));
  const choice = element("select", { id: "submit-template", name: "template" }, names);
  const args = element("div", { class: "arguments" });
  const said = element("div", { id: "submit-said", "aria-live": "polite" });
  const form = element("form", { class: "submit", novalidate: "" },
    element("button", { type: "button", class: "close", "aria-label": "Close" }, "×"),
    element("h2", { id: "submit-title" }, "Submit a job"),
    element("div", { class: "fields" }, field("template", "Runs", choice, "a command that the operator offers"), args),
    element("div", { class: "fields" }, FIELDS.map(([name, label, value, hint]) => field(name, label, input(name, value), hint))),
    said, element("p", { class: "actions" },
      element("button", { type: "submit", id: "submit-ask" }, "Show what it would save"),
      element("button", { type: "button", class: "main", id: "submit-go", disabled: "" }, "Submit it")));
  const showArguments = () => args.replaceChildren(...argumentsOf(templates, choice.value));
  choice.addEventListener("change", showArguments);
  showArguments();
  listen(dialog, form, said);
  return form;
}

const argumentsOf = (templates, chosen) =>
  (templates.find(([name]) => name === chosen)?.[1].arguments ?? []).map((name) => field(`arguments.${name}`, name, input(`arguments.${name}`, ""), "argument of the command"));

const input = (name, value) => element("input", { id: `submit-${name}`, name, value, autocomplete: "off", spellcheck: "false" });

function field(name, label, control, hint) {
  control.setAttribute("aria-describedby", `hint-${name}`);
  return element("div", { class: "field" }, element("label", { for: control.id }, label), control, element("span", { class: "quiet", id: `hint-${name}` }, hint));
}

function listen(dialog, form, said) {
  const go = form.querySelector("#submit-go");
  let asked = null; // the appraised job, and the key that makes it one job however often it is sent
  const changed = () => {
    asked = null;
    go.disabled = true;
    said.replaceChildren();
    for (const one of form.querySelectorAll("[aria-invalid]")) one.removeAttribute("aria-invalid");
  };
  form.querySelector(".close").addEventListener("click", () => dialog.close());
  form.addEventListener("input", changed);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    changed();
    const job = jobOf(form);
    await trying(form, said, async () => {
      said.replaceChildren(appraisal(await appraise(job)));
      asked = { job, key: randomKey() };
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
    said.replaceChildren(element("p", { class: "notice bad", role: "alert" }, saidOf(error)));
    const wrong = error.param ? form.elements[error.param] : null;
    wrong?.setAttribute("aria-invalid", "true");
    wrong?.focus();
  }
}

function jobOf(form) {
  const job = { arguments: {} };
  for (const [name, value] of new FormData(form)) {
    const text = value.trim();
    if (name.startsWith("arguments.")) job.arguments[name.slice("arguments.".length)] = text;
    else if (name === "gpus" && /^\d+$/.test(text)) job.gpus = Number(text);
    else if (text) job[name] = text;
  }
  return job;
}

// Not crypto.randomUUID: browsers have it on encrypted pages and loopback only.
const randomKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

function appraisal({ plan }) {
  const { emissions_gco2e: emitted, baseline_emissions_gco2e: baseline, savings_ratio: ratio } = plan;
  const fromMs = instantMs(plan.start);
  const isKnown = emitted !== null && baseline !== null && ratio !== null;
  const places = [...new Set(plan.segments.map((one) => one.region))].join(", ");
  return element("dl", { class: "facts appraisal" },
    element("dt", {}, "would run"), element("dd", {}, `${span(fromMs, instantMs(plan.end), fromMs)} UTC on ${day(fromMs)}, in ${places}`),
    element("dt", {}, "would emit"), element("dd", {}, isKnown ? `${mass(emitted)}, instead of ${mass(baseline)} at once: ${percent(Math.abs(ratio))} ${ratio < 0 ? "more" : "less"}, by forecast` : UNKNOWN),
    element("dt", {}, "because"), element("dd", {}, plan.why.split(": ").slice(1).join(": ") || plan.why));
}
