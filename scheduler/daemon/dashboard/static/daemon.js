// Asks the daemon. A key that is typed in goes to it once and is kept nowhere here: what stays is a cookie that no
// script can read.

const PATIENCE_MS = 8_000;

/** The daemon wants another key, or one at all. */
export class KeyWanted extends Error {}

/** No answer, or one that is none. */
export class NoAnswer extends Error {}

/** The daemon does not do what it was told to; `param` is the field that it does not like, `suggestions` what would help. */
export class Refused extends Error {
  constructor({ message, param, suggestions }) {
    super(message);
    this.param = param ?? null;
    this.suggestions = suggestions ?? [];
  }
}

/** What to tell the reader of an error of the three kinds above; others are thrown on. */
export function saidOf(error) {
  if (error instanceof KeyWanted) return "This key may not do that.";
  if (error instanceof NoAnswer) return `The daemon does not answer: ${error.message}.`;
  if (error instanceof Refused) return error.message;
  throw error;
}

/** Who is logged in: a session whose `key` is null where nobody is, "anyone" where no key is asked for. */
export const askWho = () => asked("/api/v1/session");

/** Raises KeyWanted, with what the daemon says against the key; NoAnswer. */
export const logIn = (key) => asked("/api/v1/session", "POST", { key });

export const logOut = () => asked("/api/v1/session", "DELETE");

/** The intensity, past and expected: large, and changing with the grid only. Raises KeyWanted, NoAnswer. */
export async function askForGrid() {
  const [expected, past] = await Promise.all(["/api/v1/intensity", "/api/v1/intensity/past"].map((path) => asked(path)));
  const pastOf = new Map(past.zones.map((zone) => [zone.zone, zone]));
  return new Map(expected.zones.map((zone) => [zone.zone, { ...zone, past: pastOf.get(zone.zone) }]));
}

/** The account by day, month, tenant, model or kind of work. Raises KeyWanted, NoAnswer. */
export const askForSavings = async (group) => (await asked(`/api/v1/savings/by?group=${group}`)).data;

/** What plans expected of the jobs that have succeeded, beside what became of them. Raises KeyWanted, NoAnswer. */
export const askForPlanned = () => asked("/api/v1/savings/planned");

/** The same by day, month, tenant or model. Raises KeyWanted, NoAnswer. */
export const askForPlannedBy = async (group) => ({ group, rows: (await asked(`/api/v1/savings/planned?group=${group}`)).data });

/** One job, and why it is where it is. Raises KeyWanted, NoAnswer. */
export async function askWhy(id) {
  const path = `/api/v1/jobs/${encodeURIComponent(id)}`;
  const [job, why] = await Promise.all([asked(path), asked(`${path}/explain`)]);
  return { job, why };
}

/** Why the lines of a batch wait or go. Raises KeyWanted, NoAnswer. */
export const askBatchWhy = (id) => asked(`/api/v1/batches/${encodeURIComponent(id)}/explain`);

/** These raise KeyWanted, NoAnswer, Refused. */
/** `action` is cancel, pause, resume or requeue. */
export const changeJob = (id, action) => asked(`/api/v1/jobs/${encodeURIComponent(id)}/${action}`, "POST");
export const cancelBatch = (id) => asked(`/v1/batches/${encodeURIComponent(id)}/cancel`, "POST");
export const appraise = (job) => asked("/api/v1/jobs?dry_run=1", "POST", job);

/** However often it is sent, the same `key` makes one job. */
export const submitJob = (job, key) => asked("/api/v1/jobs", "POST", job, { "Idempotency-Key": key });

async function asked(path, method = "GET", told = null, more = {}) {
  const body = told === null ? {} : { headers: { "Content-Type": "application/json", ...more }, body: JSON.stringify(told) };
  try {
    const response = await fetch(path, { method, ...body, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    if (response.ok) return response.status === 204 ? null : await response.json();
    if (response.status === 401 || response.status === 403) throw new KeyWanted((await response.json()).error.message);
    if (method === "POST") throw new Refused((await response.json()).error);
    throw new NoAnswer(`${path} answers ${response.status}`);
  } catch (error) {
    if (error instanceof KeyWanted || error instanceof NoAnswer || error instanceof Refused) throw error;
    throw new NoAnswer(error.name === "TimeoutError" ? `no answer within ${PATIENCE_MS / 1000} s` : "no connection");
  }
}
