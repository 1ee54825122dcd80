// The address names the job that is looked at, so that it can be sent to somebody and survives a reload.

const HASH = "#job=";

export const chosenJob = () => (location.hash.startsWith(HASH) ? decodeURIComponent(location.hash.slice(HASH.length)) : null);
export const addressOf = (id) => HASH + encodeURIComponent(id);
