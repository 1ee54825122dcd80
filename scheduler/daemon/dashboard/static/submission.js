// What becomes of the fields of a submission: the job that is sent, or what is wrong and where it is said.

import { FIELDS, localText, nameOf, PAUSES, PLACES, SAID_BY_PHASES, SHAPES } from "./fields.js";
import { fullInstant } from "./format.js";

const DURATION = /^(\s*\d+(\.\d+)?\s*(ms|s|m|min|h|d|w))+\s*$/i;
const POWER = /^\s*\d+(\.\d+)?\s*(w|kw|mw)\s*$/i;

/** The body of the submission. */
export function jobOf(form) {
  const data = new FormData(form);
  const text = (name) => data.get(name).trim();
  const job = { template: text("template"), arguments: {} };
  for (const name of data.keys()) if (name.startsWith("arguments.")) job.arguments[name.slice("arguments.".length)] = text(name);
  const shape = SHAPES[data.get("shape")].field;
  const isInPhases = shape === "power_profile";
  for (const [name] of FIELDS) if (text(name) && !(isInPhases && SAID_BY_PHASES.includes(name))) job[name] = name === "gpus" ? Number(text(name)) : text(name);
  if (shape) job[shape] = text(shape).replace(/\s*([:,])\s*/g, "$1");
  if (data.get("starts") === "from") job.earliest_start = new Date(data.get("earliest_start")).toISOString();
  if (data.get("until") === "within") job.within = text("within");
  else job.deadline = new Date(data.get("deadline")).toISOString();
  const regions = data.getAll("regions");
  if (regions.length < form.querySelectorAll("[name=regions]").length) job.regions = regions;
  if (data.has("interruptible") && !isInPhases) job.interruptible = Object.fromEntries(PAUSES.map(([name]) => [name.split(".")[1], text(name)]));
  return job;
}

/** What is wrong before anybody is asked: [field, what], by their order on the page. */
export function wrongsIn(form, nowMs) {
  const data = new FormData(form);
  const noDuration = (name) => (DURATION.test(data.get(name)) ? null : `${isNo(data.get(name), "duration")}: write a number and a unit, such as 45m or 2h30m`);
  const shape = SHAPES[data.get("shape")].field;
  const isInPhases = shape === "power_profile";
  const missing = [...data.keys()].filter((name) => name.startsWith("arguments.")).map((name) => [name, data.get(name).trim() ? null : "the command needs it"]);
  const found = [
    ...missing,
    ["duration", isInPhases ? null : noDuration("duration")],
    ["power", isInPhases || POWER.test(data.get("power")) ? null : `${isNo(data.get("power"), "power")}: write a number and a unit, such as 700W or 1.2kW`],
    ["gpus", /^\s*\d{1,9}\s*$/.test(data.get("gpus")) ? null : isNo(data.get("gpus"), "whole number")],
    ["power_profile", isInPhases ? wrongWithPhases(data.get("power_profile")) : null],
    ["elastic", shape === "elastic" ? wrongWithSpeeds(data.get("elastic"), data.get("gpus")) : null],
    ["earliest_start", data.get("starts") === "from" ? wrongWithStart(data) : null],
    data.get("until") === "within" ? ["within", noDuration("within")] : ["deadline", wrongWithDeadline(data.get("deadline"), nowMs)],
    ["regions", form.querySelector("[name=regions]") === null || data.has("regions") ? null : "choose one at least"],
    ...(data.has("interruptible") && !isInPhases ? PAUSES.map(([name]) => [name, noDuration(name)]) : []),
  ];
  return found.filter(([, what]) => what !== null);
}

const isNo = (text, what) => (text.trim() ? `“${text.trim()}” is no ${what}` : "nothing is written");

function wrongWithDeadline(text, nowMs) {
  const atMs = Date.parse(text);
  if (Number.isNaN(atMs)) return "choose a date and a time";
  return atMs <= nowMs ? `it is ${fullInstant(nowMs)} already, by the daemon’s clock` : null;
}

function wrongWithPhases(text) {
  const wrong = text.split(",").find((part) => {
    const [lasts, power, ...more] = part.split(":");
    return more.length > 0 || power === undefined || !DURATION.test(lasts) || !POWER.test(power);
  });
  return wrong === undefined ? null : `${isNo(wrong, "phase")}: write a duration and a power, such as 10m:3kW`;
}

function wrongWithSpeeds(text, gpus) {
  const parts = text.split(",");
  const wrong = parts.find((part) => !/^\s*\d{1,6}\s*:\s*\d+(\.\d+)?\s*$/.test(part));
  if (wrong !== undefined) return `${isNo(wrong, "number of GPUs and speed")}: write them as 2:1.8`;
  const own = Number(gpus);
  return parts.some((part) => Number(part.split(":")[0]) === own) ? null : `its own number, ${own}, has no speed here: add ${own}:1`;
}

function wrongWithStart(data) {
  const fromMs = Date.parse(data.get("earliest_start"));
  if (Number.isNaN(fromMs)) return "choose a date and a time";
  return data.get("until") === "deadline" && fromMs >= Date.parse(data.get("deadline")) ? "it has to be done before that" : null;
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
    else if (name === "earliest_start") Object.assign(form.elements.earliest_start, { value: localText(Date.parse(value)) });
    else if (name === "interruptible") form.elements.interruptible.checked = true;
    else form.elements[name].value = String(value);
    const choice = { deadline: "#submit-until-deadline", earliest_start: "#submit-starts-from" }[name];
    const changed = choice ? form.querySelector(choice) : form.elements[name];
    if (choice) changed.checked = true;
    if (changed instanceof HTMLElement) changed.dispatchEvent(new Event("change", { bubbles: true }));
  }
}
