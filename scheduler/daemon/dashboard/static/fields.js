// The fields of a submission: how they are laid out, and what becomes of them: the job that is sent, or what is wrong.

import { element } from "./dom.js";
import { fullInstant } from "./format.js";

const DURATION = /^(\s*\d+(\.\d+)?\s*(ms|s|m|min|h|d|w))+\s*$/i;
const POWER = /^\s*\d+(\.\d+)?\s*(w|kw|mw)\s*$/i;
const DAY_MS = 86_400_000;
const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

// [name in the API, what people call it, what stands there, hint]
const FIELDS = [
  ["label", "Name", "", "to find it again; may stay empty"],
  ["duration", "Runs for", "1h", "at most, such as 45m or 2h30m"],
  ["power", "Power", "700W", "of its IT equipment while it runs"],
  ["gpus", "GPUs", "1", "that it holds"],
];
const PAUSES = [
  ["interruptible.checkpoint", "To save its state", "0s", "at each pause"],
  ["interruptible.restore", "To load it again", "0s", "when it goes on"],
  ["interruptible.min_run", "Shortest piece", "0s", "that is worth a start"],
];
const NAMES = { template: "Runs", until: "Has to be done", regions: "May run in", ...Object.fromEntries([...FIELDS, ...PAUSES]) };
// Two fields that share a place for what is wrong.
const PLACES = { within: "until", deadline: "until" };
const nameOf = (field) => (field.startsWith("arguments.") ? field.slice("arguments.".length) : NAMES[PLACES[field] ?? field]);

/** Everything between the heading and the buttons. `templates` are [name, {arguments}], `regions` [name, {zone}]. */
export function fieldsOf({ templates, regions, nowMs }) {
  const choice = element("select", { id: "submit-template", name: "template" }, templates.map(([name]) => element("option", { value: name }, name)));
  const args = element("div", { class: "arguments" });
  const showArguments = () => args.replaceChildren(...argumentsOf(templates, choice.value));
  choice.addEventListener("change", showArguments);
  showArguments();
  return [
    element("div", { class: "fields" }, field("template", choice, "a command that the operator offers"), args),
    element("div", { class: "fields" }, FIELDS.map(([name, , value, hint]) => field(name, input(name, value), hint))),
    element("div", { class: "groups" }, untilWhen(nowMs), regions.length > 1 ? where(regions) : null),
    pausing(),
  ];
}

const argumentsOf = (templates, chosen) =>
  (templates.find(([name]) => name === chosen)?.[1].arguments ?? []).map((name) => field(`arguments.${name}`, input(`arguments.${name}`, ""), "argument of the command"));

const input = (name, value, more = {}) => element("input", { id: `submit-${name}`, name, value, autocomplete: "off", spellcheck: "false", ...more });
const wrongOf = (name) => element("span", { class: "wrong", id: `wrong-${name}`, hidden: "" });
const hintOf = (name, hint) => element("span", { class: "quiet", id: `hint-${name}` }, hint);
const describedBy = (name) => `wrong-${name} hint-${name}`;

function field(name, control, hint) {
  control.setAttribute("aria-describedby", describedBy(name));
  return element("div", { class: "field" }, element("label", { for: control.id }, nameOf(name)), control, wrongOf(name), hintOf(name, hint));
}

const group = (name, hint, ...options) => element("fieldset", {}, element("legend", {}, NAMES[name]), ...options, wrongOf(name), hintOf(name, hint));

// -- when -------------------------------------------------------------------------------------------------------------

function untilWhen(nowMs) {
  const within = input("within", "24h", { "aria-label": "Duration from now", "aria-describedby": describedBy("until") });
  const deadline = input("deadline", localText(nowMs + DAY_MS), { type: "datetime-local", "aria-label": `Date and time, ${ZONE}`, "aria-describedby": describedBy("until") });
  const [soon, fixed] = [option("radio", "until", "within", "within", true), option("radio", "until", "deadline", "by", false)];
  const box = group("until", "", element("div", { class: "option" }, ...soon, within), element("div", { class: "option" }, ...fixed, deadline));
  const hint = box.querySelector(".quiet");
  const sayWhen = () => {
    const atMs = Date.parse(deadline.value);
    hint.textContent = fixed[0].checked ? `${ZONE}${Number.isNaN(atMs) ? "" : `; that is ${fullInstant(atMs)}`}` : "from now, such as 8h or 3d; the later, the cleaner";
  };
  within.addEventListener("input", () => { soon[0].checked = true; sayWhen(); });
  deadline.addEventListener("input", () => { fixed[0].checked = true; sayWhen(); });
  box.addEventListener("change", sayWhen);
  sayWhen();
  return box;
}

function option(type, name, value, label, isChosen) {
  const id = `submit-${name}-${value}`;
  return [element("input", { type, id, name, value, checked: isChosen ? "" : null }), element("label", { for: id }, label)];
}

// As a field for date and time wants it: in the browser's zone, to the minute.
const localText = (ms) => new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);

// -- where, and in one piece or several -------------------------------------------------------------------------------

function where(regions) {
  const options = regions.map(([name, { zone }]) => element("div", { class: "option" }, ...option("checkbox", "regions", name, name, true), element("span", { class: "quiet" }, zone)));
  const box = group("regions", "the more, the cleaner", ...options);
  for (const one of box.querySelectorAll("input")) one.setAttribute("aria-describedby", describedBy("regions"));
  return box;
}

function pausing() {
  const [box, label] = option("checkbox", "interruptible", "yes", "May be paused while the grid is dirty", false);
  box.setAttribute("aria-controls", "submit-pauses");
  const costs = element("div", { class: "fields", id: "submit-pauses", hidden: "" }, PAUSES.map(([name, , value, hint]) => field(name, input(name, value), hint)));
  const showCosts = () => { costs.hidden = !box.checked; box.setAttribute("aria-expanded", String(box.checked)); };
  box.addEventListener("change", showCosts);
  showCosts();
  return element("div", { class: "pausing" }, element("div", { class: "option" }, box, label), costs);
}

// -- read, told and filled --------------------------------------------------------------------------------------------

/** The body of the submission. */
export function jobOf(form) {
  const data = new FormData(form);
  const text = (name) => data.get(name).trim();
  const job = { template: text("template"), arguments: {} };
  for (const name of data.keys()) if (name.startsWith("arguments.")) job.arguments[name.slice("arguments.".length)] = text(name);
  for (const [name] of FIELDS) if (text(name)) job[name] = name === "gpus" ? Number(text(name)) : text(name);
  if (data.get("until") === "within") job.within = text("within");
  else job.deadline = new Date(data.get("deadline")).toISOString();
  const regions = data.getAll("regions");
  if (regions.length < form.querySelectorAll("[name=regions]").length) job.regions = regions;
  if (data.has("interruptible")) job.interruptible = Object.fromEntries(PAUSES.map(([name]) => [name.split(".")[1], text(name)]));
  return job;
}

/** What is wrong before anybody is asked: [field, what], by their order on the page. */
export function wrongsIn(form, nowMs) {
  const data = new FormData(form);
  const noDuration = (name) => (DURATION.test(data.get(name)) ? null : `${quoted(data.get(name))} is no duration: write a number and a unit, such as 45m or 2h30m`);
  const missing = [...data.keys()].filter((name) => name.startsWith("arguments.")).map((name) => [name, data.get(name).trim() ? null : "the command needs it"]);
  const found = [
    ...missing,
    ["duration", noDuration("duration")],
    ["power", POWER.test(data.get("power")) ? null : `${quoted(data.get("power"))} is no power: write a number and a unit, such as 700W or 1.2kW`],
    ["gpus", /^\s*\d{1,9}\s*$/.test(data.get("gpus")) ? null : `${quoted(data.get("gpus"))} is no whole number`],
    data.get("until") === "within" ? ["within", noDuration("within")] : ["deadline", wrongWithDeadline(data.get("deadline"), nowMs)],
    ["regions", form.querySelector("[name=regions]") === null || data.has("regions") ? null : "choose one at least"],
    ...(data.has("interruptible") ? PAUSES.map(([name]) => [name, noDuration(name)]) : []),
  ];
  return found.filter(([, what]) => what !== null);
}

const quoted = (text) => (text.trim() ? `“${text.trim()}”` : "nothing");

function wrongWithDeadline(text, nowMs) {
  const atMs = Date.parse(text);
  if (Number.isNaN(atMs)) return "choose a date and a time";
  return atMs <= nowMs ? `it is ${fullInstant(nowMs)} already, by the daemon’s clock` : null;
}

/** Says at a field what is wrong with it; false where the form has no such field. The first one told has the focus. */
export function tell(form, name, what) {
  const place = form.querySelector(`#wrong-${CSS.escape(PLACES[name] ?? name)}`);
  if (place === null) return false;
  place.textContent = `${nameOf(name)}: ${what}.`;
  place.hidden = false;
  const control = form.elements[name] instanceof RadioNodeList ? form.elements[name][0] : form.elements[name] ?? form.querySelector(`[name="${name}"]`);
  const isFirst = form.querySelector("[aria-invalid]") === null;
  control.setAttribute("aria-invalid", "true");
  if (isFirst) control.focus();
  return true;
}

/** Takes back what was told. */
export function untell(form) {
  for (const one of form.querySelectorAll(".wrong")) one.hidden = true;
  for (const one of form.querySelectorAll("[aria-invalid]")) one.removeAttribute("aria-invalid");
}

/** Writes one of the daemon's suggestions into the form. */
export function fill(form, changes) {
  for (const { field: name, value } of changes) {
    if (name === "deadline") Object.assign(form.elements.deadline, { value: localText(Date.parse(value)) });
    else if (name === "regions") for (const box of form.querySelectorAll("[name=regions]")) box.checked = value.includes(box.value);
    else if (name === "interruptible") form.elements.interruptible.checked = true;
    else form.elements[name].value = String(value);
    const changed = name === "deadline" ? form.querySelector("#submit-until-deadline") : form.elements[name];
    if (name === "deadline") changed.checked = true;
    if (changed instanceof HTMLElement) changed.dispatchEvent(new Event("change", { bubbles: true }));
  }
}
