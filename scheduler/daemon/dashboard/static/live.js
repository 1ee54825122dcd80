// Listens to the daemon: keeps the newest row of every table, and goes on asking when the stream breaks off.

import { askWho, KeyWanted, NoAnswer } from "./daemon.js";

const AGAIN_MS = 1_000;
const SILENT_MS = 15_000; // three heartbeats
const LOOK_MS = 1_000;

export class Live {
  /** What it knows of the daemon. `onNews` is called with the names of the tables that changed, and when anything else did. */
  constructor(onNews) {
    Object.assign(this, { tables: new Map(), who: null, problem: null, wantsKey: false, refusal: null, resumed: null });
    Object.assign(this, { onNews, mark: "", heardAtMs: null, lostAtMs: null, toldMs: null, speed: 1, source: null, timer: null, attempt: 0 });
    document.addEventListener("visibilitychange", () => (document.hidden ? this.rest() : this.connect()));
    setInterval(() => this.listenFor(), LOOK_MS);
  }

  /** Rows of a table, in the daemon's order. */
  rows(table) {
    return Object.entries(this.tables.get(table) ?? {});
  }

  get status() {
    return this.tables.get("daemon")?.now ?? null;
  }

  /** The daemon's clock; it stands still while the daemon is silent. */
  get nowMs() {
    const untilMs = this.problem === null ? performance.now() : this.lostAtMs;
    return this.toldMs === null ? null : this.toldMs + (untilMs - this.heardAtMs) * this.speed;
  }

  get silentForS() {
    return this.lostAtMs === null ? 0 : (performance.now() - this.lostAtMs) / 1000;
  }

  async connect() {
    this.rest();
    if (document.hidden) return;
    const attempt = this.attempt;
    try {
      const who = await askWho();
      if (attempt === this.attempt) this.listenAs(who);
    } catch (error) {
      if (!(error instanceof KeyWanted || error instanceof NoAnswer)) throw error;
      if (attempt === this.attempt) this.lose(error.message);
    }
  }

  /** Stop listening, for now. */
  rest() {
    this.attempt += 1; // whoever is being asked is not listened to any more
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  listenAs(who) {
    this.who = who;
    if (who.key !== null && !who.scopes.includes("read")) this.refusal = "This key may not look: it lacks the scope read.";
    if (who.key === null || !who.scopes.includes("read")) return this.wantKey();
    const source = new EventSource(`/api/v1/events?after=${encodeURIComponent(this.mark)}`);
    source.addEventListener("changes", (event) => this.hear(JSON.parse(event.data), event.lastEventId));
    source.addEventListener("heartbeat", (event) => this.hear(JSON.parse(event.data)));
    source.addEventListener("error", () => this.source === source && this.lose("no connection"));
    this.source = source;
  }

  wantKey() {
    Object.assign(this, { wantsKey: true, problem: null, lostAtMs: null, mark: "", tables: new Map() });
    this.onNews([]);
  }

  hear(told, mark = null) {
    const isNewLife = this.problem !== null && told.is_whole === true;
    if (this.problem !== null) this.resumed = { isNewLife, afterS: this.silentForS, atMs: performance.now() };
    Object.assign(this, { problem: null, lostAtMs: null, wantsKey: false, refusal: null });
    Object.assign(this, { heardAtMs: performance.now(), toldMs: Date.parse(told.now), speed: told.speed });
    if (mark !== null) this.mark = mark;
    for (const [name, changed] of Object.entries(told.tables ?? {})) this.apply(name, changed);
    this.onNews(Object.keys(told.tables ?? {}));
  }

  apply(name, { rows, ids }) {
    const known = { ...(this.tables.get(name) ?? {}), ...rows };
    this.tables.set(name, ids ? Object.fromEntries(ids.map((id) => [id, known[id]])) : known);
  }

  lose(problem) {
    this.rest();
    this.problem = problem;
    this.lostAtMs ??= performance.now();
    this.timer = setTimeout(() => this.connect(), AGAIN_MS);
    this.onNews([]);
  }

  listenFor() {
    const isSilent = this.source !== null && this.heardAtMs !== null && performance.now() - this.heardAtMs > SILENT_MS;
    if (isSilent && this.problem === null) this.lose(`not a word for ${SILENT_MS / 1000} s`);
  }
}
