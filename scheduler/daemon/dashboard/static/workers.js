// The workers behind the gateway: what each is doing, how full it is, and what it has served.

import { element } from "./dom.js";
import { counted } from "./format.js";
import { table } from "./tables.js";

const STATES = { awake: "running", asleep: "", leaving: "cancelled", down: "failed" };
const SAID = { awake: "takes requests", asleep: "is given none", leaving: "finishes, then sleeps", down: "does not answer" };

/** `workers` are [name, row]. */
export function workersTable(workers) {
  if (!workers.length) return element("p", { class: "quiet" }, "No worker is set. Jobs need none; requests of OpenAI’s API need a ", element("code", {}, "[[worker]]"), ".");
  return [figures(workers.map(([, worker]) => worker)), workersRows(workers)];
}

function workersRows(workers) {
  return table(["Worker", "State", "Serves", "Region", "Hardware", "Requests now", "Has answered"], workers.map(row), "Workers");
}

function figures(workers) {
  const count = (state) => workers.filter((worker) => worker.state === state).length;
  const open = workers.filter((worker) => worker.state === "awake");
  const places = sum(open, (worker) => worker.max_sequences);
  const taken = sum(workers, (worker) => worker.in_flight);
  const rest = [["asleep", count("asleep")], ["leaving", count("leaving")], ["down", count("down")]].filter(([, many]) => many).map(([state, many]) => `${many} ${state}`);
  const served = workers.every((worker) => worker.served !== null);
  return element("dl", { class: "figures" },
    figure("Awake", `${open.length} of ${workers.length}`, rest.join(", ") || "none asleep, none down", count("down") > 0),
    figure("Requests now", taken.toLocaleString("en"), `in ${counted(places, "place")} of those awake`),
    figure("Answered", served ? sum(workers, (worker) => worker.served.output_tokens).toLocaleString("en") : "–", served ? "tokens since the daemon started" : "shown to keys of all tenants"));
}

const sum = (workers, of) => workers.reduce((total, worker) => total + of(worker), 0);

function figure(name, value, said, isWarning = false) {
  return element("div", { class: isWarning ? "warns" : null }, element("dt", {}, name), element("dd", { class: "value" }, value), element("dd", { class: "said" }, said));
}

function row([name, worker]) {
  return [
    [element("strong", {}, name.replace(/^https?:\/\//, "")), ...(worker.role === "both" || !worker.role ? [] : [element("span", { class: "quiet" }, `${worker.role} only`)])],
    [element("span", { class: `state ${STATES[worker.state]}` }, worker.state), element("span", { class: "quiet" }, SAID[worker.state])],
    [worker.models.join(", "), ...(worker.adapters.length ? [element("span", { class: "quiet" }, counted(worker.adapters.length, "adapter"))] : [])],
    [worker.region],
    [`${worker.gpus} × ${worker.gpu}`, element("span", { class: "quiet" }, hardware(worker))],
    [element("meter", { min: 0, max: worker.max_sequences, value: worker.in_flight, "aria-label": "places taken" }), element("span", { class: "quiet" }, `${worker.in_flight} of ${counted(worker.max_sequences, "place")}`)],
    served(worker.served),
  ];
}

const hardware = (worker) => [energy(worker), ...(worker.shares_gpu ? [`shares ${worker.shares_gpu}`] : [])].join(", ");

function energy({ is_metered, meter }) {
  if (!is_metered) return meter && meter.problem ? `modelled: ${meter.problem}` : "modelled";
  return meter && meter.power_w !== null ? `metered, ${meter.power_w.toLocaleString("en")} W` : "metered";
}

function served(total) {
  if (total === null) return [element("span", { class: "quiet" }, "for keys of all tenants")];
  return [counted(total.requests, "request"), element("span", { class: "quiet" }, `${counted(total.output_tokens, "token")} since the start`)];
}
