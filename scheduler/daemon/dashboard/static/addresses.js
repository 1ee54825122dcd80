// The address names the view and the job that is looked at, so that it can be sent to somebody and survives a reload.

const HASH = "#job=";
const PATH = "#/";
export const VIEWS = ["now", "jobs", "savings", "batching", "workers"];
let view = VIEWS[0];

export const chosenJob = () => (location.hash.startsWith(HASH) ? decodeURIComponent(location.hash.slice(HASH.length)) : null);
export const viewAddress = (name) => PATH + name;
export const addressOf = (id) => HASH + encodeURIComponent(id);

/** The view of the address; under a job, the one that was open before. */
export function chosenView() {
  const named = location.hash.slice(PATH.length);
  if (location.hash.startsWith(PATH) && VIEWS.includes(named)) view = named;
  else if (chosenJob() === null) view = VIEWS[0];
  return view;
}

/** Leave the job for the view below it. */
export const leaveJob = () => history.replaceState(null, "", view === VIEWS[0] ? location.pathname : PATH + view);
