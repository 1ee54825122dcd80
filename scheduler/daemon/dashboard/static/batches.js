// The batches of the OpenAI-compatible API: how far each is, until when it has time, and a way to cancel it.

import { explainBatch } from "./batch_why.js";
import { confirmed } from "./confirm.js";
import { cancelBatch, saidOf } from "./daemon.js";
import { element } from "./dom.js";
import { counted, instant } from "./format.js";
import { table } from "./tables.js";

const OPEN = new Set(["validating", "in_progress", "finalizing"]);

/** Newest first, as the daemon lists them. */
export function batchesTable({ batches, nowMs, mayCancel }) {
  if (!batches.length) return element("p", { class: "quiet" }, "No batch has been made. Any client of OpenAI’s batch API can make one here.");
  return table(["Batch", "State", "Lines", "Made", "Has time until", ""], batches.map(([, batch]) => row(batch, nowMs, mayCancel)), "Batches");
}

function row(batch, nowMs, mayCancel) {
  return [
    [element("strong", {}, batch.metadata?.name ?? batch.model ?? batch.endpoint), element("span", { class: "quiet id" }, batch.id)],
    [element("span", { class: `state ${TONES[batch.status] ?? ""}` }, batch.status.replaceAll("_", " ")), ...problem(batch)],
    lines(batch),
    [instant(batch.created_at * 1000, nowMs)],
    [OPEN.has(batch.status) ? instant(batch.expires_at * 1000, nowMs) : "–"],
    [element("span", { class: "buttons" }, explaining(batch), mayCancel && OPEN.has(batch.status) ? cancelling(batch) : null)],
  ];
}

const TONES = { in_progress: "running", finalizing: "running", completed: "succeeded", cancelled: "cancelled", cancelling: "cancelled", failed: "failed", expired: "failed" };

/** What is wrong first, and how much more is. */
function problem(batch) {
  const [first, ...more] = batch.errors?.data ?? [];
  if (!first) return [];
  const where = first.line ? `line ${first.line.toLocaleString("en")}: ` : "";
  return [element("span", { class: "quiet" }, `${where}${first.message}${more.length ? ` And ${more.length} more.` : ""}`)];
}

function lines({ status, request_counts: { total, completed, failed } }) {
  if (status === "failed" && !total) return [element("span", { class: "quiet" }, "none was sent")];
  const bar = element("progress", { max: Math.max(1, total), value: completed + failed, "aria-label": "lines answered" });
  const said = total ? `${(completed + failed).toLocaleString("en")} of ${counted(total, "line")}` : "not counted yet";
  return [bar, element("span", { class: failed ? "worse" : "quiet" }, failed ? `${said}, ${failed.toLocaleString("en")} failed` : said)];
}

function explaining(batch) {
  const button = element("button", { type: "button", "aria-label": `Explain batch ${batch.id}` }, "Explain");
  button.addEventListener("click", () => explainBatch(batch));
  return button;
}

function cancelling(batch) {
  const button = element("button", { type: "button", "aria-label": `Cancel batch ${batch.id}` }, "Cancel");
  button.addEventListener("click", async () => {
    if (!(await confirmed("Cancel this batch? What has been answered by then is kept in its files.", "Cancel the batch", "Keep it"))) return;
    try {
      await cancelBatch(batch.id);
    } catch (error) {
      button.replaceWith(element("span", { class: "worse", role: "alert" }, saidOf(error)));
    }
  });
  return button;
}
