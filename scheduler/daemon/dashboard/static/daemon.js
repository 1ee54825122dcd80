// Asks the daemon. A key that is typed in goes to it once and is kept nowhere here: what stays is a cookie that no
// script can read.

const PATIENCE_MS = 8_000;

/** The daemon wants another key, or one at all. */
export class KeyWanted extends Error {}

/** No answer, or one that is none. */
export class NoAnswer extends Error {}

/** Who is logged in: a session whose `key` is null where nobody is, "anyone" where no key is asked for. */
export const askWho = () => asked("/api/v1/session");

/** Raises KeyWanted, with what the daemon says against the key; NoAnswer. */
export const logIn = (key) => asked("/api/v1/session", "POST", { key });

export const logOut = () => asked("/api/v1/session", "DELETE");

const OPEN_JOBS = "/api/v1/jobs?limit=200&state=running&state=starting&state=paused&state=waiting&state=quarantined";
const ENDED_JOBS = "/api/v1/jobs?limit=30&state=succeeded&state=failed&state=cancelled";

/** Counts, jobs and account: what changes from one look to the next. Raises KeyWanted, NoAnswer. */
export async function askForState() {
  const paths = ["/api/v1/status", "/api/v1/plan", OPEN_JOBS, ENDED_JOBS];
  const [status, plan, open, ended] = await Promise.all(paths.map((path) => asked(path)));
  return { status, regions: plan.regions, open: open.data, ended: ended.data };
}

/** The intensity, past and expected: large, and changing with the grid only. Raises KeyWanted, NoAnswer. */
export async function askForGrid() {
  const [expected, past] = await Promise.all(["/api/v1/intensity", "/api/v1/intensity/past"].map((path) => asked(path)));
  const pastOf = new Map(past.zones.map((zone) => [zone.zone, zone]));
  return new Map(expected.zones.map((zone) => [zone.zone, { ...zone, past: pastOf.get(zone.zone) }]));
}

/** One job, and why it is where it is. Raises KeyWanted, NoAnswer. */
export async function askWhy(id) {
  const path = `/api/v1/jobs/${encodeURIComponent(id)}`;
  const [job, why] = await Promise.all([asked(path), asked(`${path}/explain`)]);
  return { job, why };
}

/** Raises KeyWanted, NoAnswer with what the daemon says against it. */
export const cancelJob = (id) => asked(`/api/v1/jobs/${encodeURIComponent(id)}/cancel`, "POST");

async function asked(path, method = "GET", told = null) {
  const body = told === null ? {} : { headers: { "Content-Type": "application/json" }, body: JSON.stringify(told) };
  try {
    const response = await fetch(path, { method, ...body, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    if (response.status === 401 || response.status === 403) throw new KeyWanted((await response.json()).error.message);
    if (!response.ok) throw new NoAnswer(`${path} answers ${response.status}`);
    return response.status === 204 ? null : await response.json();
  } catch (error) {
    if (error instanceof KeyWanted || error instanceof NoAnswer) throw error;
    throw new NoAnswer(error.name === "TimeoutError" ? `no answer within ${PATIENCE_MS / 1000} s` : "no connection");
  }
}
