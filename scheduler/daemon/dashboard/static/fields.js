// The fields of a submission, and how they are laid out. What becomes of them is submission.js's.

import { element } from "./dom.js";
import { fullInstant } from "./format.js";

const DAY_MS = 86_400_000;
const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

// [name in the API, what people call it, what stands there, hint]
export const FIELDS = [
  ["label", "Name", "", "to find it again; may stay empty"],
  ["duration", "Runs for", "1h", "at most, such as 45m or 2h30m"],
  ["power", "Power", "700W", "of its IT equipment while it runs"],
  ["gpus", "GPUs", "1", "that it holds"],
];
export const PAUSES = [
  ["interruptible.checkpoint", "To save its state", "0s", "at each pause"],
  ["interruptible.restore", "To load it again", "0s", "when it goes on"],
  ["interruptible.min_run", "Shortest piece", "0s", "that is worth a start"],
];
// What a run that is not the same throughout is described by: the value of its choice, its field, and what is chosen.
export const SHAPES = {
  steady: { choice: "power and GPUs stay the same" },
  phases: { choice: "its power changes, phase by phase", field: "power_profile", hint: "how long and at what power, in turn, such as 10m:3kW, 2h:10kW, 20m:5kW; it runs in one piece" },
  elastic: { choice: "more or fewer GPUs, chosen at each start", field: "elastic", hint: "GPUs and the speed on them, such as 1:1, 2:1.8, 4:3; “Runs for” and “Power” are those on “GPUs”" },
};
// What phases say instead.
export const SAID_BY_PHASES = ["duration", "power"];
const NAMES = {
  template: "Runs", starts: "May start", until: "Has to be done", regions: "May run in", shape: "While it runs", power_profile: "Phases", elastic: "Speeds",
  ...Object.fromEntries([...FIELDS, ...PAUSES]),
};
// Fields that share a place for what is wrong.
export const PLACES = { within: "until", deadline: "until", earliest_start: "starts" };
export const nameOf = (field) => (field.startsWith("arguments.") ? field.slice("arguments.".length) : NAMES[PLACES[field] ?? field]);

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
    shape(),
    element("div", { class: "groups" }, startsWhen(nowMs), untilWhen(nowMs), regions.length > 1 ? where(regions) : null),
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

// -- how it runs ------------------------------------------------------------------------------------------------------

function shape() {
  const options = Object.entries(SHAPES).map(([value, { choice, field: name, hint }]) => {
    const [radio, label] = option("radio", "shape", value, choice, value === "steady");
    const text = name ? element("div", { class: "fields wide", id: `submit-of-${value}`, hidden: "" }, field(name, input(name, ""), hint)) : null;
    if (text) radio.setAttribute("aria-controls", text.id);
    return [element("div", { class: "option" }, radio, label), text];
  });
  const box = group("shape", "", ...options.flat().filter((one) => one !== null));
  box.classList.add("shape");
  box.addEventListener("change", () => showShape(box.closest("form"), box.querySelector("input:checked").value));
  return box;
}

// Only the fields that have a say are there.
function showShape(form, chosen) {
  for (const [value, { field: name }] of Object.entries(SHAPES)) if (name) form.querySelector(`#submit-of-${value}`).hidden = value !== chosen;
  const isInPhases = chosen === "phases";
  for (const name of SAID_BY_PHASES) form.querySelector(`#submit-${name}`).closest(".field").hidden = isInPhases;
  form.querySelector(".pausing").hidden = isInPhases;
}

// -- when -------------------------------------------------------------------------------------------------------------

function startsWhen(nowMs) {
  const from = input("earliest_start", localText(nowMs), { type: "datetime-local", "aria-label": `Earliest date and time, ${ZONE}`, "aria-describedby": describedBy("starts") });
  const [now, later] = [option("radio", "starts", "now", "at any time from now", true), option("radio", "starts", "from", "from", false)];
  const box = group("starts", "", element("div", { class: "option" }, ...now), element("div", { class: "option" }, ...later, from));
  const sayWhen = () => { box.querySelector(".quiet").textContent = later[0].checked ? zoned(from) : "the sooner it may, the more hours there are to choose from"; };
  from.addEventListener("input", () => { later[0].checked = true; sayWhen(); });
  box.addEventListener("change", sayWhen);
  sayWhen();
  return box;
}

function untilWhen(nowMs) {
  const within = input("within", "24h", { "aria-label": "Duration from now", "aria-describedby": describedBy("until") });
  const deadline = input("deadline", localText(nowMs + DAY_MS), { type: "datetime-local", "aria-label": `Date and time, ${ZONE}`, "aria-describedby": describedBy("until") });
  const [soon, fixed] = [option("radio", "until", "within", "within", true), option("radio", "until", "deadline", "by", false)];
  const box = group("until", "", element("div", { class: "option" }, ...soon, within), element("div", { class: "option" }, ...fixed, deadline));
  const hint = box.querySelector(".quiet");
  const sayWhen = () => { hint.textContent = fixed[0].checked ? zoned(deadline) : "from now, such as 8h or 3d; the later, the cleaner"; };
  within.addEventListener("input", () => { soon[0].checked = true; sayWhen(); });
  deadline.addEventListener("input", () => { fixed[0].checked = true; sayWhen(); });
  box.addEventListener("change", sayWhen);
  sayWhen();
  return box;
}

// The zone that a date and time is in, and what that is in UTC.
function zoned(control) {
  const atMs = Date.parse(control.value);
  return `${ZONE}${Number.isNaN(atMs) ? "" : `; that is ${fullInstant(atMs)}`}`;
}

function option(type, name, value, label, isChosen) {
  const id = `submit-${name}-${value}`;
  return [element("input", { type, id, name, value, checked: isChosen ? "" : null }), element("label", { for: id }, label)];
}

// As a field for date and time wants it: in the browser's zone, to the minute.
export const localText = (ms) => new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);

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
