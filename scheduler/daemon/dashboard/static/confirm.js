// Asks once more before something is done that cannot be undone.

import { element } from "./dom.js";

/** Whether the reader said yes, in a dialog of its own. */
export function confirmed(question, yes, no) {
  const go = element("button", { type: "button", class: "danger", id: "confirm-yes" }, yes);
  const stay = element("button", { type: "button" }, no);
  const dialog = element("dialog", { class: "ask", "aria-label": question }, element("p", {}, question), element("p", { class: "actions" }, go, stay));
  document.body.append(dialog);
  return new Promise((settle) => {
    go.addEventListener("click", () => dialog.close("yes"));
    stay.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => {
      dialog.remove();
      settle(dialog.returnValue === "yes");
    });
    dialog.showModal();
    stay.focus();
  });
}
