// Which jobs a region's chart shows, and which pieces of each.

import { instantMs } from "./format.js";
import { nameOf } from "./tables.js";

/** More rows than these are read in the table. */
const MOST_ROWS = 14;

/** Rows {name, kind, pieces: [{fromMs, toMs}], window, said} of a region in the order of their starts, and how many more. */
export function jobRows(region, open, ended, { fromMs, untilMs, nowMs }) {
  const inView = (jobs) => jobs.map((job) => rowOf(job, region, nowMs)).filter((row) => row !== null && isInside(row, fromMs, untilMs));
  const all = [...inView(open).sort(byStart), ...inView(ended)]; // what is still to come, then the latest that ended
  return { rows: all.slice(0, MOST_ROWS).sort(byStart), more: Math.max(0, all.length - MOST_ROWS) };
}

const byStart = (one, other) => one.pieces[0].fromMs - other.pieces[0].fromMs || one.name.localeCompare(other.name);

const isInside = (row, fromMs, untilMs) => row.pieces.some((piece) => piece.toMs > fromMs && piece.fromMs < untilMs);

function rowOf(job, region, nowMs) {
  const pieces = job.plan ? plannedPieces(job, region) : endedPieces(job, region, nowMs);
  if (!pieces.length) return null;
  const window = job.ended_at ? null : { fromMs: instantMs(job.earliest_start), toMs: instantMs(job.deadline) };
  return { name: nameOf(job), kind: kindOf(job), pieces, window, said: `${nameOf(job)}, ${job.state}` };
}

function plannedPieces(job, region) {
  return job.plan.segments.filter((one) => one.region === region).map((one) => ({ fromMs: instantMs(one.start), toMs: instantMs(one.end) }));
}

function endedPieces(job, region, nowMs) {
  if (job.region !== region || !job.started_at) return [];
  return [{ fromMs: instantMs(job.started_at), toMs: instantMs(job.ended_at) ?? nowMs }];
}

function kindOf(job) {
  if (job.state === "running" || job.state === "starting") return "running";
  if (job.state === "failed" || job.state === "quarantined") return "failed";
  return job.ended_at ? "ended" : "planned";
}
