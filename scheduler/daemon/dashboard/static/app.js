// The status page: asks the daemon every two seconds while someone looks, and shows what it says.

import { askForGrid, askForState, askWho, KeyWanted, logIn, logOut, NoAnswer } from "./daemon.js";
import { watchJobs } from "./details.js";
import { element, show } from "./dom.js";
import { counted, duration, fullInstant, instantMs } from "./format.js";
import { numbers, planned } from "./numbers.js";
import { hoursThatShow, regionSections } from "./regions.js";
import { accountTable, jobsTable } from "./tables.js";

const POLL_MS = 2_000;
// The grid changes by the quarter of an hour; a demonstration's clock runs fast, and its grid with it.
const GRID_POLLS = 10;

const seen = { state: null, grid: null, answeredAtMs: null, problem: null, wantsKey: false, who: null, refusal: null, polls: 0, chosenHours: null };
let timer = null;
let isAsking = false;

const at = (id) => document.getElementById(id);

async function poll() {
  if (isAsking || document.hidden) return;
  clearTimeout(timer);
  isAsking = true;
  try {
    await look();
  } catch (error) {
    if (!(error instanceof KeyWanted || error instanceof NoAnswer)) throw error;
    seen.wantsKey = error instanceof KeyWanted;
    seen.problem = seen.wantsKey ? null : error.message;
    if (seen.wantsKey) Object.assign(seen, { who: null, refusal: error.message || seen.refusal });
  } finally {
    isAsking = false;
    if (!seen.wantsKey) timer = setTimeout(poll, POLL_MS);
  }
  render();
}

async function look() {
  if (seen.who === null) seen.who = await askWho();
  if (seen.who.key === null) throw new KeyWanted();
  seen.state = await askForState();
  const isDue = seen.grid === null || seen.state.status.speed > 1 || seen.polls % GRID_POLLS === 0;
  if (isDue) seen.grid = await askForGrid();
  Object.assign(seen, { answeredAtMs: performance.now(), problem: null, wantsKey: false, polls: seen.polls + 1 });
}

function render() {
  const isAskedNow = seen.wantsKey && at("key-form").hidden;
  at("key-form").hidden = !seen.wantsKey;
  if (isAskedNow) at("key").focus();
  at("forget").hidden = seen.who === null || seen.who.key === "anyone";
  renderLink();
  show(at("notices"), notices(), (all) => all.map(([tone, text]) => element("p", { class: `notice ${tone}` }, text)));
  const isShown = seen.grid !== null && !seen.wantsKey;
  at("status").hidden = !isShown;
  at("main").classList.toggle("stale", seen.problem !== null);
  if (isShown) renderStatus();
}

function renderLink() {
  const state = seen.problem ? ["lost", `silent${silentFor()}`] : seen.wantsKey ? ["asks", "asks for a key"] : ["", "live"];
  at("link").className = `link ${state[0]}`;
  show(at("link"), state[1], (text) => text);
}

const silentFor = () => (seen.answeredAtMs === null ? "" : ` for ${duration((performance.now() - seen.answeredAtMs) / 1000)}`);

function notices() {
  const status = seen.state?.status;
  const found = [];
  if (seen.problem !== null) found.push(["bad", silence()]);
  if (seen.wantsKey && seen.refusal !== null) found.push(["bad", seen.refusal]);
  if (seen.wantsKey || !status) return found;
  for (const problem of status.problems) found.push(["bad", `Not ready: ${problem}.`]);
  if (status.speed !== 1) found.push(["", `A demonstration: the clock runs ${Math.round(status.speed).toLocaleString("en")} times real time, the grid is made up or replayed, nothing was really saved.`]);
  if (status.policy === "run_now") found.push(["", "The policy is run_now: nothing waits for cleaner hours."]);
  return found;
}

// The seconds stand in the header, not here: what changes in a live region is read out each time.
function silence() {
  const status = seen.state?.status;
  const below = status ? ` What stands below is what it said at ${fullInstant(instantMs(status.now))}.` : "";
  return `The daemon does not answer: ${seen.problem}.${below} Asking again every two seconds.`;
}

function renderStatus() {
  const { state: { status, regions, open, ended }, grid } = seen;
  const nowMs = instantMs(status.now);
  const hours = seen.chosenHours ?? hoursThatShow(open, nowMs);
  const account = { ...status.account, since: null, until: null }; // they change with every look, and are not shown
  const width = at("regions").clientWidth;
  for (const button of at("ranges").children) button.setAttribute("aria-pressed", String(Number(button.dataset.hours) === hours));
  at("clock").dateTime = status.now;
  show(at("clock"), fullInstant(nowMs), (text) => text);
  document.title = titleOf(status);
  show(at("numbers"), { ...status, now: null, account, ahead: planned(open, waitingIn(status.jobs)) }, numbers);
  show(at("regions"), { regions, grid: [...grid], open, ended, nowMs, hours, width }, regionSections);
  show(at("jobs"), { open, openCount: openIn(status.jobs), ended, nowMs: dayOf(nowMs) }, jobsTable);
  show(at("account"), account, accountTable);
}

const waitingIn = (jobs) => jobs.waiting + jobs.paused;
const openIn = (jobs) => waitingIn(jobs) + jobs.starting + jobs.running + jobs.quarantined;

// The table names a day only where it is another day, so it changes once a day and not with every second.
const dayOf = (ms) => Math.floor(ms / 86_400_000) * 86_400_000;

function titleOf(status) {
  return status.problems.length ? "Slacktide: not ready" : `Slacktide: ${counted(waitingIn(status.jobs), "job")} waiting`;
}

function chooseRange(event) {
  const button = event.target.closest("button");
  if (button === null) return;
  seen.chosenHours = Number(button.dataset.hours);
  render();
}

at("ranges").addEventListener("click", chooseRange);
async function changeWho(change) {
  try {
    seen.refusal = null;
    seen.who = await change();
  } catch (error) {
    if (!(error instanceof KeyWanted || error instanceof NoAnswer)) throw error;
    seen.refusal = error.message;
  }
  render();
  poll();
}

at("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = at("key").value.trim();
  at("key").value = "";
  changeWho(() => logIn(key));
});
at("forget").addEventListener("click", () => changeWho(logOut));
document.addEventListener("visibilitychange", poll);
watchJobs(at("job"), poll);
new ResizeObserver(() => seen.grid !== null && render()).observe(at("main"));
poll();
