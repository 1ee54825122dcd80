// Draws one chart: an intensity ribbon, an axis, and rows of jobs under it, all on one scale of time.

import { drawing } from "./dom.js";
import { clock, day } from "./format.js";
import { levelOf } from "./ribbon.js";

const HOUR_MS = 3_600_000;
const NARROW_PX = 620;
const TOP_PX = 20;
const AXIS_PX = 22;
const TICK_PX = 56;
const TICK_HOURS = [1, 3, 6, 12, 24, 48];
const LETTER_PX = 7.2;
let charts = 0;

function layoutOf({ width, fromMs, untilMs }, rowCount) {
  const isNarrow = width < NARROW_PX;
  const left = isNarrow ? 34 : 150;
  const right = width - 6;
  const ribbon = isNarrow ? 64 : 84;
  const row = isNarrow ? 34 : 24;
  const rowsTop = TOP_PX + ribbon + AXIS_PX;
  const x = (ms) => left + ((right - left) * (Math.min(untilMs, Math.max(fromMs, ms)) - fromMs)) / (untilMs - fromMs);
  return { isNarrow, left, right, ribbonTop: TOP_PX, ribbonEnd: TOP_PX + ribbon, row, rowsTop, height: rowsTop + rowCount * row + 4, x };
}

/** The chart as one SVG; `says` is what it shows, in words. */
export function timeline({ zone, steps, most, rows, view, says }) {
  const layout = layoutOf(view, rows.length);
  charts += 1;
  return drawing("svg", { class: "chart", role: "img", "aria-label": says, width: view.width, height: layout.height, viewBox: `0 0 ${view.width} ${layout.height}` },
    unknownPattern(charts), ...ticks(view, layout), ...ribbon(steps, most, layout, charts), ...scale(most, layout),
    ...rows.flatMap((row, index) => jobMarks(row, index, layout)), ...nowLine(zone, most, view, layout), ...rows.map((row, index) => jobName(row, index, layout)));
}

function unknownPattern(number) {
  const line = drawing("path", { d: "M0 6L6 0", class: "hatch" });
  return drawing("defs", {}, drawing("pattern", { id: `unknown-${number}`, width: 6, height: 6, patternUnits: "userSpaceOnUse" }, line));
}

// One path per colour and certainty: a week of five-minute steps is a few nodes instead of two thousand.
function ribbon(steps, most, layout, number) {
  const { left, right, ribbonTop, ribbonEnd, x } = layout;
  const paths = new Map();
  for (const step of steps) {
    if (step.gco2e_per_kwh === null) continue;
    const kind = `level${levelOf(step.gco2e_per_kwh)}${step.isForecast ? " forecast" : ""}`;
    const top = yOf(step.gco2e_per_kwh, most, layout);
    paths.set(kind, `${paths.get(kind) ?? ""}M${px(x(step.fromMs))} ${ribbonEnd}V${px(top)}H${px(x(step.toMs))}V${ribbonEnd}Z`);
  }
  const holes = unknownSpans(steps, layout).map(([from, to]) =>
    drawing("rect", { x: px(from), y: ribbonTop, width: px(to - from), height: ribbonEnd - ribbonTop, fill: `url(#unknown-${number})` }, drawing("title", {}, "not known")));
  const ground = drawing("path", { class: "ground", d: `M${left} ${ribbonEnd}H${right}` });
  return [...holes, ...[...paths].map(([kind, d]) => drawing("path", { class: kind, d })), ground];
}

function unknownSpans(steps, { left, right, x }) {
  const spans = [];
  let reached = left;
  for (const step of steps.filter((one) => one.gco2e_per_kwh !== null)) {
    if (x(step.fromMs) > reached + 0.5) spans.push([reached, x(step.fromMs)]);
    reached = Math.max(reached, x(step.toMs));
  }
  return reached < right - 0.5 ? [...spans, [reached, right]] : spans;
}

const px = (value) => Math.round(value * 10) / 10;
const yOf = (gco2ePerKwh, most, { ribbonTop, ribbonEnd }) => ribbonEnd - ((ribbonEnd - ribbonTop) * gco2ePerKwh) / most;

function scale(most, layout) {
  const { left, ribbonTop, ribbonEnd } = layout;
  const text = (y, value) => drawing("text", { class: "tick", x: left - 6, y: y + 4, "text-anchor": "end" }, value);
  return [text(ribbonTop + 4, String(Math.round(most))), text(ribbonEnd - 3, "0")];
}

function ticks({ fromMs, untilMs, nowMs }, layout) {
  const { left, right, ribbonTop, ribbonEnd, height, x } = layout;
  const fitting = Math.max(2, Math.floor((right - left) / TICK_PX));
  const everyMs = (TICK_HOURS.find((hours) => (untilMs - fromMs) / HOUR_MS / hours <= fitting) ?? 48) * HOUR_MS;
  const nodes = [];
  for (let ms = Math.ceil(fromMs / everyMs) * everyMs; ms < untilMs; ms += everyMs) {
    const isMidnight = ms % (24 * HOUR_MS) === 0;
    nodes.push(drawing("path", { class: isMidnight ? "rule midnight" : "rule", d: `M${px(x(ms))} ${ribbonTop}V${height}` }));
    if (x(ms) < right - 18 && x(ms) > left + 14 && Math.abs(x(ms) - x(nowMs)) > 18) {
      nodes.push(drawing("text", { class: "tick", x: px(x(ms)), y: ribbonEnd + 15, "text-anchor": "middle" }, isMidnight ? day(ms).replace(/ \w+$/, "") : clock(ms)));
    }
  }
  return nodes;
}

const topOf = (index, layout) => layout.rowsTop + index * layout.row + (layout.isNarrow ? 16 : 4);

function jobMarks(row, index, layout) {
  const top = topOf(index, layout);
  return [...windowOf(row, top, layout.x), ...row.pieces.map((piece) => bar(row, piece, top, layout.x))];
}

function jobName(row, index, layout) {
  const { isNarrow, left, right } = layout;
  const top = topOf(index, layout);
  const place = isNarrow ? { x: left, y: top - 4 } : { x: 0, y: top + 12 };
  return drawing("text", { class: `job-name ${row.kind}`, ...place }, shortened(row.name, isNarrow ? right - left : left - 14), drawing("title", {}, row.said));
}

function shortened(name, room) {
  const letters = Math.floor(room / LETTER_PX);
  return name.length <= letters ? name : `${name.slice(0, letters - 1)}…`;
}

function windowOf(row, top, x) {
  if (row.window === null) return [];
  const [from, to, y] = [px(x(row.window.fromMs)), px(x(row.window.toMs)), top + 8];
  return [drawing("path", { class: "window", d: `M${from} ${y}H${to}M${to} ${y - 4}V${y + 4}` })];
}

function bar(row, piece, top, x) {
  const [from, to] = [x(piece.fromMs), x(piece.toMs)];
  if (to <= from) return null;
  const said = `${row.said}: ${clock(piece.fromMs)} to ${clock(piece.toMs)}`;
  return drawing("rect", { class: `bar ${row.kind}`, x: px(from), y: top, width: px(Math.max(2, to - from)), height: 16, rx: 3 }, drawing("title", {}, said));
}

function nowLine(zone, most, { nowMs }, layout) {
  const at = px(layout.x(nowMs));
  const line = drawing("path", { class: "now", d: `M${at} ${layout.ribbonTop - 4}V${layout.height}` });
  const value = zone?.gco2e_per_kwh ?? null;
  const dot = value === null ? null : drawing("circle", { class: "now-dot", cx: at, cy: px(yOf(value, most, layout)), r: 3.5 });
  return [line, drawing("text", { class: "now-name", x: at, y: 11, "text-anchor": "middle" }, `now ${clock(nowMs)}`), dot];
}
