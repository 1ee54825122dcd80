// The status page: listens to the daemon while someone looks, and shows what it says.

import { chosenView, viewAddress, VIEWS } from "./addresses.js";
import { batchesTable } from "./batches.js";
import { modelSections } from "./batching.js";
import { askForGrid, askForPlanned, askForPlannedBy, askForSavings, KeyWanted, logIn, logOut, NoAnswer } from "./daemon.js";
import { watchJobs } from "./details.js";
import { element, show } from "./dom.js";
import { counted, duration, fullInstant } from "./format.js";
import { Live } from "./live.js";
import { numbers, planned } from "./numbers.js";
import { hoursThatShow, regionSections } from "./regions.js";
import { savingsSections } from "./savings.js";
import { watchSubmitting } from "./submit.js";
import { accountTable, jobsTable } from "./tables.js";
import { workersTable } from "./workers.js";

const CLOCK_MS = 1_000;
// The grid's past grows by the quarter of an hour; a demonstration's clock runs fast, and its grid with it.
const GRID_MS = 60_000;
const FAST_GRID_MS = 2_000;
const HEAPS_MS = 5_000;
const RESUMED_MS = 8_000;
const ENDED = new Set(["succeeded", "failed", "cancelled"]);
const HEAPS = { savings: ["day", "planned", "plannedBy", "month", "tenant", "model"], batching: ["model"] };

const live = new Live(hear);
const seen = { grid: null, gridAtMs: 0, heaps: {}, heapsAtMs: {}, chosenHours: null, plannedGroup: "month" };
const asking = new Set();
let isDrawn = false;

const at = (id) => document.getElementById(id);

function hear(tables) {
  if (tables.includes("zone")) seen.gridAtMs = 0;
  if (tables.includes("daemon")) seen.heapsAtMs = Object.fromEntries(Object.entries(seen.heapsAtMs).map(([group, atMs]) => [group, Math.min(atMs, performance.now() - GRID_MS + HEAPS_MS)])); // asked for soon, and not at every change
  if (live.wantsKey) Object.assign(seen, { grid: null, heaps: {} });
  draw();
}

// Many changes that come together are drawn once.
function draw() {
  if (isDrawn) return;
  isDrawn = true;
  requestAnimationFrame(() => {
    isDrawn = false;
    askForMore();
    render();
  });
}

function askForMore() {
  if (live.status === null || live.problem !== null || live.wantsKey) return;
  const nowMs = performance.now();
  const view = chosenView();
  if (nowMs - seen.gridAtMs > (live.speed > 1 ? FAST_GRID_MS : GRID_MS) || seen.gridAtMs === 0) fetchOnce("grid", fetchGrid);
  for (const group of HEAPS[view] ?? []) if (nowMs - (seen.heapsAtMs[group] ?? -GRID_MS) >= GRID_MS) fetchOnce(group, () => fetchHeap(group));
}

async function fetchGrid() {
  seen.gridAtMs = performance.now();
  seen.grid = await askForGrid();
}

async function fetchHeap(group) {
  seen.heapsAtMs[group] = performance.now();
  if (group === "planned") seen.heaps.planned = await askForPlanned();
  else if (group === "plannedBy") seen.heaps.plannedBy = await askForPlannedBy(seen.plannedGroup);
  else seen.heaps[group] = await askForSavings(group);
}

async function fetchOnce(name, fetch) {
  if (asking.has(name)) return;
  asking.add(name);
  try {
    await fetch();
  } catch (error) {
    // The stream says whether the daemon is there and who may look; the next clock tick asks for this again.
    if (!(error instanceof KeyWanted || error instanceof NoAnswer)) throw error;
  } finally {
    asking.delete(name);
  }
  draw();
}

function render() {
  const isAskedNow = live.wantsKey && at("key-form").hidden;
  at("key-form").hidden = !live.wantsKey;
  if (isAskedNow) at("key").focus();
  at("forget").hidden = live.who === null || live.who.key === null || live.who.key === "anyone";
  renderLink();
  show(at("notices"), notices(), (all) => all.map(([tone, text]) => element("p", { class: `notice ${tone}` }, text)));
  const isShown = live.status !== null && !live.wantsKey;
  at("status").hidden = !isShown;
  at("views").hidden = !isShown;
  at("main").classList.toggle("stale", live.problem !== null);
  if (isShown) renderViews(chosenView());
}

function renderLink() {
  const silence = live.status === null ? "silent" : `silent for ${duration(live.silentForS)}, asking again`;
  const [kind, text] = live.problem ? ["lost", silence] : live.wantsKey ? ["asks", "asks for a key"] : live.status ? ["", "live"] : ["", "asking the daemon"];
  at("link").className = `link ${kind}`;
  show(at("link"), text, (said) => said);
}

function notices() {
  const { status } = live;
  const found = [];
  if (live.problem !== null) found.push(["bad", silence()]);
  if (live.wantsKey && live.refusal !== null) found.push(["bad", live.refusal]);
  if (live.wantsKey || !status) return found;
  if (live.problem === null && live.resumed !== null && performance.now() - live.resumed.atMs < RESUMED_MS) found.push(["good", resumption(live.resumed)]);
  for (const problem of status.problems) found.push(["bad", `Not ready: ${problem}.`]);
  if (live.speed !== 1) found.push(["", `A demonstration: the clock runs ${Math.round(live.speed).toLocaleString("en")} times real time, the grid is made up or replayed, nothing was really saved.`]);
  if (status.policy === "run_now") found.push(["", "The policy is run_now: nothing waits for cleaner hours."]);
  return found;
}

// The seconds stand in the header, not here: what changes in a live region is read out each time.
function silence() {
  const below = live.status ? ` What stands below is what it said at ${fullInstant(live.nowMs)}.` : "";
  return `The daemon does not answer: ${live.problem}.${below} Asking again every second.`;
}

function resumption({ isNewLife, afterS }) {
  return `The daemon answers again after ${duration(Math.max(1, afterS))}${isNewLife ? "; it was started anew" : ""}. What stands below is up to date.`;
}

function renderViews(view) {
  for (const name of VIEWS) at(`view-${name}`).hidden = name !== view;
  for (const link of at("views").querySelectorAll("a")) {
    if (link.hash === viewAddress(view)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const { status, nowMs } = live;
  at("clock").dateTime = new Date(nowMs).toISOString();
  show(at("clock"), fullInstant(nowMs), (text) => text);
  document.title = status.problems.length ? "Slacktide: not ready" : `Slacktide: ${counted(waitingIn(status.jobs), "job")} waiting`;
  RENDER[view](status, nowMs, jobsNow());
}

function jobsNow() {
  const jobs = live.rows("job").map(([, job]) => job);
  return { open: jobs.filter((job) => !ENDED.has(job.state)), ended: jobs.filter((job) => ENDED.has(job.state)) };
}

const RENDER = {
  now(status, nowMs, { open, ended }) {
    const hours = seen.chosenHours ?? hoursThatShow(open, nowMs);
    for (const button of at("ranges").children) button.setAttribute("aria-pressed", String(Number(button.dataset.hours) === hours));
    show(at("numbers"), { ...status, ahead: planned(open, waitingIn(status.jobs)) }, numbers);
    const width = at("regions").clientWidth;
    const regions = live.rows("region").map(([, region]) => region);
    // On a clock as everybody's, a chart drawn anew every second would show the same.
    const drawnMs = live.speed > 1 ? nowMs : Math.floor(nowMs / 15_000) * 15_000;
    if (seen.grid !== null && width > 0) show(at("regions"), { regions, grid: [...seen.grid], open, ended, nowMs: drawnMs, hours, width }, regionSections);
    show(at("open-jobs"), { open, openCount: openIn(status.jobs), ended: [], nowMs: dayOf(nowMs) }, jobsTable);
  },
  jobs(status, nowMs, { open, ended }) {
    at("submit-open").hidden = !mayDo("jobs") || !live.rows("template").length;
    show(at("jobs"), { open, openCount: openIn(status.jobs), ended, nowMs: dayOf(nowMs) }, jobsTable);
    show(at("batches"), { batches: live.rows("batch"), nowMs: dayOf(nowMs), mayCancel: mayDo("batches") }, batchesTable);
  },
  savings(status) {
    show(at("account"), status.account, accountTable);
    show(at("savings"), { ...seen.heaps, planned: withoutSpan(seen.heaps.planned), plannedGroup: seen.plannedGroup, width: at("savings").clientWidth }, savingsSections);
  },
  batching() {
    show(at("batching"), { models: live.rows("model"), heap: seen.heaps.model ?? null }, modelSections);
  },
  workers() {
    show(at("workers"), live.rows("worker"), workersTable);
  },
};

// The instants change with every answer, and are not shown.
const withoutSpan = (told) => (told ? { ...told, since: null, until: null } : null);

const mayDo = (scope) => live.who !== null && live.who.scopes.includes(scope);
const waitingIn = (jobs) => jobs.waiting + jobs.paused;
const openIn = (jobs) => waitingIn(jobs) + jobs.starting + jobs.running + jobs.quarantined;

// The table names a day only where it is another day, so it changes once a day and not with every second.
const dayOf = (ms) => Math.floor(ms / 86_400_000) * 86_400_000;

async function changeWho(change) {
  try {
    await change();
    live.refusal = null;
  } catch (error) {
    if (!(error instanceof KeyWanted || error instanceof NoAnswer)) throw error;
    live.refusal = error.message;
  }
  live.connect();
}

at("ranges").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button !== null) seen.chosenHours = Number(button.dataset.hours);
  draw();
});
at("savings").addEventListener("click", (event) => {
  const group = event.target.closest("[data-group]")?.dataset.group;
  if (!group) return;
  seen.plannedGroup = group;
  delete seen.heapsAtMs.plannedBy;
  draw();
});
at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = at("key").value.trim();
  at("key").value = "";
  changeWho(() => logIn(key));
});
at("forget").addEventListener("click", () => changeWho(logOut));
window.addEventListener("hashchange", draw);
const lookAgain = watchJobs(at("job"), () => mayDo("jobs"));
setInterval(lookAgain, CLOCK_MS);
watchSubmitting(at("submit"), at("submit-open"), () => ({ templates: live.rows("template"), regions: live.rows("region"), nowMs: live.nowMs }));
new ResizeObserver(draw).observe(at("main"));
setInterval(draw, CLOCK_MS);
live.connect();
