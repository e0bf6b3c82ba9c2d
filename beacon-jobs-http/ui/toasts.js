// Short messages in a corner of the page, read out by screen readers.
import { base, make, sheet } from "./style.js";

/** How long good news stays, in milliseconds. Bad news stays until it is closed. */
const STAY = 10_000;

/** The most messages at a time. */
const MOST = 4;

const style = sheet(`
  :host { position: fixed; inset: auto 1rem 1rem auto; z-index: 1000; width: min(26rem, calc(100vw - 2rem)); margin: 0; padding: 0; border: 0; background: none; overflow: visible; }
  .region { display: grid; gap: .6rem; }
  .region + .region { margin-top: .6rem; }
  .region:empty { margin: 0; }
  .toast {
    display: grid; grid-template-columns: 1fr auto; gap: .1rem .75rem; padding: .75rem .9rem;
    background: var(--_paper); border: 1px solid var(--_line); border-left: .3rem solid var(--_good);
    border-radius: .5rem; box-shadow: var(--_shade);
  }
  .toast.error { border-left-color: var(--_bad); }
  .title { font-weight: 650; }
  .text { grid-column: 1; color: var(--_soft); overflow-wrap: anywhere; font-size: .925em; }
  .close { grid-row: 1 / span 2; grid-column: 2; align-self: start; padding: 0 .45em; border-color: transparent; background: none; }
`);

/** `<beacon-toasts>`: the corner of the messages. One is made where a page has none. */
export class Toasts extends HTMLElement {
  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [base, style];
    // Both are there before any message, or it would not be read out.
    this.good = make("div", { class: "region", role: "status", "aria-live": "polite" });
    this.bad = make("div", { class: "region", role: "alert", "aria-live": "assertive" });
    root.append(this.good, this.bad);
  }

  /**
   * Shows a message.
   * @param {{kind: "success"|"error", title: string, text: string}} message
   */
  show({ kind, title, text }) {
    const region = kind === "error" ? this.bad : this.good;
    const close = make("button", { class: "close", type: "button", "aria-label": "Close this message" }, "×");
    const toast = make(
      "div",
      { class: `toast ${kind}` },
      make("div", { class: "title" }, title),
      make("div", { class: "text" }, text),
      close,
    );
    close.addEventListener("click", () => toast.remove());
    region.append(toast);
    while (region.children.length > MOST) region.firstElementChild?.remove();
    if (kind === "success") leaveAfter(toast, STAY);
  }
}

/**
 * Takes a message away, but not while somebody reads it.
 * @param {HTMLElement} toast
 * @param {number} stay
 */
function leaveAfter(toast, stay) {
  setTimeout(() => {
    if (toast.matches(":hover, :focus-within")) leaveAfter(toast, 2000);
    else toast.remove();
  }, stay);
}

/**
 * Shows a message in the page's corner for messages.
 * @param {{kind: "success"|"error", title: string, text: string}} message
 */
export function showToast(message) {
  let toasts = document.querySelector("beacon-toasts");
  if (!(toasts instanceof Toasts)) {
    toasts = document.createElement("beacon-toasts");
    document.body.append(toasts);
  }
  /** @type {Toasts} */ (toasts).show(message);
}
