// The account sorted: a bar for each day, and tables by month, tenant and model.

import { drawing, element } from "./dom.js";
import { counted, day, energy, isEven, isLoss, mass, percent, UNKNOWN } from "./format.js";
import { table } from "./tables.js";

const HEIGHT_PX = 150;
const FOOT_PX = 24;
const HEAD_PX = 16;
const LEFT_PX = 58;
const FEWEST_DAYS = 14;
const DAY_MS = 86_400_000;

const HEADINGS = { month: ["Month by month", "Month"], tenant: ["By tenant", "Tenant"], model: ["By model", "Model"] };

/** Each heap is a list of rows, or missing while it is asked for. */
export function savingsSections({ day: days, planned, plannedBy, plannedGroup, width, ...heaps }) {
  if (!days) return element("p", { class: "quiet" }, "asking the daemon");
  if (!days.length) return element("p", { class: "quiet" }, "Nothing has been booked yet.");
  const sorted = Object.entries(HEADINGS).filter(([group]) => heaps[group]).map(([group, [title, column]]) => section(title, column, heaps[group]));
  return [today(days.at(-1)), chart(days, width), plannedSection(planned, plannedBy ?? null, plannedGroup), ...sorted].filter((one) => one !== null);
}

function today(one) {
  return element("p", { class: "grid-words" }, element("strong", {}, `${dayName(one.name)}: ${saved(one)}`), element("span", { class: "quiet" }, ` · ${mass(one.emissions_gco2e)} emitted, ${mass(one.at_once_emissions_gco2e)} at once`));
}

const dayName = (name) => day(Date.parse(`${name}T00:00Z`));
const monthName = (name) => new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", month: "long", year: "numeric" }).format(Date.parse(`${name}-01T00:00Z`));

function saved(one) {
  if (one.savings_ratio === null) return UNKNOWN;
  return one.avoided_gco2e < 0 ? `${mass(-one.avoided_gco2e)} more than at once` : `${mass(one.avoided_gco2e)} saved, ${percent(one.savings_ratio)}`;
}

// The pale bar is what everything at once would have emitted, the full one in front of it what was emitted.
function chart(days, width) {
  const shown = calendar(days);
  const most = Math.max(...shown.map((one) => Math.max(one.at_once_emissions_gco2e, one.emissions_gco2e)), 1e-9);
  const step = Math.min(80, (Math.max(width, 200) - LEFT_PX) / shown.length);
  const ground = HEAD_PX + HEIGHT_PX;
  const bars = shown.flatMap((one, index) => dayBars(one, LEFT_PX + index * step, step, most, ground));
  const frame = [
    drawing("text", { class: "tick", x: LEFT_PX - 8, y: HEAD_PX + 4, "text-anchor": "end" }, mass(most)), drawing("text", { class: "tick", x: LEFT_PX - 8, y: ground, "text-anchor": "end" }, "0"),
    drawing("path", { class: "rule", d: `M${LEFT_PX} ${HEAD_PX}H${width}` }), drawing("path", { class: "ground", d: `M${LEFT_PX} ${ground}H${width}` }),
  ];
  const says = `Emissions of ${counted(shown.length, "day")} beside what everything at once would have emitted. ${shown.filter((one) => !one.isIdle).map((one) => `${dayName(one.name)}: ${saved(one)}`).join("; ")}`;
  return element("figure", { class: "days" },
    drawing("svg", { class: "chart", role: "img", "aria-label": says, width, height: ground + FOOT_PX, viewBox: `0 0 ${width} ${ground + FOOT_PX}` }, ...frame, ...bars.filter((one) => one !== null)),
    element("figcaption", { class: "legend" }, key("once", "had everything run at once"), key("emitted", "emitted, by realised intensity, else by forecast")));
}

// A day without work has its place, too.
function calendar(days) {
  const known = new Map(days.map((one) => [one.name, one]));
  const lastMs = Date.parse(days.at(-1).name);
  const count = Math.max(FEWEST_DAYS, (lastMs - Date.parse(days[0].name)) / DAY_MS + 1);
  const names = Array.from({ length: count }, (_, index) => new Date(lastMs - (count - 1 - index) * DAY_MS).toISOString().slice(0, 10));
  return names.map((name) => known.get(name) ?? { name, emissions_gco2e: 0, at_once_emissions_gco2e: 0, savings_ratio: null, isIdle: true });
}

const key = (kind, said) => element("span", {}, element("i", { class: `swatch ${kind}`, "aria-hidden": "true" }), said);

function dayBars(one, left, step, most, ground) {
  const room = Math.max(2, step - Math.min(10, step * 0.25));
  const bar = (gco2e, kind, inset) => {
    const height = (HEIGHT_PX * gco2e) / most;
    return drawing("rect", { class: `day ${kind}`, x: left + inset, y: ground - height, width: Math.max(1, room - 2 * inset), height }, drawing("title", {}, `${dayName(one.name)}: ${saved(one)}`));
  };
  const number = Number(one.name.slice(8));
  const isNamed = step >= 18 || number % 5 === 0;
  const name = isNamed ? drawing("text", { class: "tick", x: left + room / 2, y: ground + 16, "text-anchor": "middle" }, String(number)) : null;
  return one.isIdle ? [name] : [bar(one.at_once_emissions_gco2e, "once", 0), bar(one.emissions_gco2e, "emitted", room * 0.18), name];
}

function plannedSection(told, sorted, group) {
  if (told === null) return null;
  const heading = element("h3", {}, "Realised against planned");
  if (!told.jobs) return element("section", { class: "heap" }, heading, element("p", { class: "quiet" }, "No job has started under a forecast and succeeded in the last 30 days."));
  const { planned, realised } = told;
  const unknown = realised.unpriced_kwh > 0 ? ` ${energy(realised.unpriced_kwh)} of their energy is in no figure: the grid was not known.` : "";
  const said = `${counted(told.jobs, "job")} that succeeded in the last 30 days. One that ends sooner than it said emits less than was planned.${unknown}`;
  return element("section", { class: "heap" }, heading, element("p", { class: "quiet" }, said),
    element("dl", { class: "figures" },
      figure("Planned to emit", mass(planned.emissions_gco2e), "by the forecast when they started"),
      figure("Emitted", mass(realised.emissions_gco2e), offBy(realised.emissions_gco2e, planned.emissions_gco2e)),
      figure("Saved", mass(realised.avoided_gco2e), `${percent(realised.savings_ratio)} against running when submitted, at home; plans promised ${mass(planned.at_once_emissions_gco2e - planned.emissions_gco2e)} against the first free place`)),
    element("div", { class: "heading" }, element("h4", {}, "Sorted"), element("div", { class: "ranges", role: "group", "aria-label": "Sorted by" }, Object.entries(GROUPS).map(([name, column]) =>
      element("button", { type: "button", "data-group": name, "aria-pressed": String(name === group) }, column)))),
    sorted?.group === group ? plannedTable(sorted) : element("p", { class: "quiet" }, "asking the daemon"));
}

const GROUPS = { day: "Day", month: "Month", tenant: "Tenant", model: "Model" };

function plannedTable({ group, rows }) {
  const column = GROUPS[group];
  return table([column, "Jobs", "Planned", "Emitted", "Beside the plan", "Saved"], rows.map((one) => plannedRow(column, one)), `Realised against planned by ${group}`, "numeric plain");
}

const plannedRow = (column, { name, jobs, planned, realised }) => [
  [nameOf(column, name)], [jobs.toLocaleString("en")], [mass(planned.emissions_gco2e)], [mass(realised.emissions_gco2e)],
  [offBy(realised.emissions_gco2e, planned.emissions_gco2e) || UNKNOWN],
  [element("span", { class: isLoss(realised.savings_ratio) ? "worse" : null }, realised.savings_ratio === null ? UNKNOWN : `${mass(realised.avoided_gco2e)} (${percent(realised.savings_ratio)})`)],
];

const figure = (name, value, said) => element("div", {}, element("dt", {}, name), element("dd", { class: "value" }, value), element("dd", { class: "said" }, said));

function offBy(realised, planned) {
  if (!(planned > 0)) return "";
  const ratio = realised / planned - 1;
  return isEven(ratio) ? "as planned" : `${percent(Math.abs(ratio))} ${ratio > 0 ? "more" : "less"} than planned`;
}

function section(title, column, rows) {
  return element("section", { class: "heap" }, element("h3", {}, title), table([column, "Uses", "Energy", "Emitted", "At once", "Saved"], rows.map(rowOf(column)), title, "numeric plain"));
}

const rowOf = (column) => (one) => [
  [nameOf(column, one.name)], [one.uses.toLocaleString("en")], [energy(one.energy_kwh)], [mass(one.emissions_gco2e)], [mass(one.at_once_emissions_gco2e)],
  [element("span", { class: isLoss(one.savings_ratio) ? "worse" : null }, one.savings_ratio === null ? UNKNOWN : `${mass(one.avoided_gco2e)} (${percent(one.savings_ratio)})`)],
];

function nameOf(column, name) {
  if (column === "Month") return monthName(name);
  if (column === "Day") return dayName(name);
  return name || "jobs";
}
