// Asks once more before something is done that cannot be undone.

import { element } from "./dom.js";

/** Whether the reader said yes, in a dialog of its own. */
export function confirmed(question, yes, no) {
  const go = element("button", { type: "button", class: "danger", id: "confirm-yes" }, yes);
  const stay = element("button", { type: "button" }, no);
  const dialog = element("dialog", { class: "ask", "aria-label": question }, element("p", {}, question), element("p", { class: "actions" }, go, stay));
  document.body.append(dialog);
  return new Promise((settle) => {
    const end = (isYes) => {
      settle(isYes);
      dialog.close(); // gives the focus back to where it was
      dialog.remove();
    };
    go.addEventListener("click", () => end(true));
    stay.addEventListener("click", () => end(false));
    dialog.addEventListener("close", () => end(false)); // by the key Escape
    dialog.showModal();
    stay.focus();
  });
}
