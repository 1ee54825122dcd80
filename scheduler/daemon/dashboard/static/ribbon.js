// What is known of a zone's intensity inside a view: the past, then the forecast, as steps cut to the view.

import { instantMs } from "./format.js";

/** Bounds of the colours, in gCO2e/kWh: absolute, so that one colour means one thing in every region and on every day. */
export const LEVELS = [100, 200, 300, 450, 600];

/** Which of the six colours an intensity has. */
export const levelOf = (gco2ePerKwh) => LEVELS.filter((bound) => gco2ePerKwh >= bound).length;

/** Steps {fromMs, toMs, gco2e_per_kwh, isForecast} in the order of time; a gap has null, what nobody knows is absent. */
export function steps(zone, { fromMs, untilMs }) {
  if (!zone) return [];
  const past = cut(zone.past?.points ?? [], fromMs, untilMs);
  const pastEndMs = past.length ? past.at(-1).toMs : fromMs;
  const realisedMs = instantMs(zone.past?.realised_until ?? null) ?? fromMs;
  const all = [...past, ...cut(zone.points, Math.max(fromMs, pastEndMs), untilMs)];
  return all.flatMap((step) => splitAt(step, realisedMs));
}

function cut(points, fromMs, untilMs) {
  return points
    .map((point) => ({ fromMs: Math.max(fromMs, Date.parse(point.start)), toMs: Math.min(untilMs, Date.parse(point.end)), gco2e_per_kwh: point.gco2e_per_kwh }))
    .filter((step) => step.toMs > step.fromMs);
}

function splitAt(step, realisedMs) {
  if (step.toMs <= realisedMs) return [{ ...step, isForecast: false }];
  if (step.fromMs >= realisedMs) return [{ ...step, isForecast: true }];
  return [{ ...step, toMs: realisedMs, isForecast: false }, { ...step, fromMs: realisedMs, isForecast: true }];
}
