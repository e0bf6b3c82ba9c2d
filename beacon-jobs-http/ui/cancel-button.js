// <beacon-cancel-button>: cancels a job, after asking, and tells what came of it.
import { clientOf } from "./connect.js";
import { base, make, sheet } from "./style.js";
import { showToast } from "./toasts.js";
import { cancelErrorWords, cancelWords } from "./words.js";

/**
 * @typedef {import("./client.js").BeaconClient} BeaconClient
 * @typedef {"unknown"|"active"|"cancelling"|"cancelled"|"failed"|"over"} ButtonState
 */

const style = sheet(`
  :host { display: inline-block; }
  .spin {
    display: inline-block; width: .8em; height: .8em; margin-right: .45em; border-radius: 50%; vertical-align: -.05em;
    border: .13em solid currentColor; border-right-color: transparent; animation: turn .8s linear infinite;
  }
  @keyframes turn { to { transform: rotate(1turn); } }
  @media (prefers-reduced-motion: reduce) { .spin { animation-duration: 4s; } }
  dialog {
    width: min(30rem, calc(100vw - 2rem)); padding: 1.25rem 1.35rem; color: var(--_ink); background: var(--_paper);
    border: 1px solid var(--_line); border-radius: .75rem; box-shadow: var(--_shade); text-align: left; white-space: normal;
  }
  dialog::backdrop { background: rgb(8 12 18 / .5); }
  h2 { margin: 0 0 .4rem; font-size: 1.1rem; }
  p { margin: 0 0 .9rem; color: var(--_soft); font-weight: 400; }
  code { overflow-wrap: anywhere; font-family: ui-monospace, monospace; color: var(--_ink); }
  label { display: block; margin-bottom: .3rem; font-weight: 550; }
  input {
    display: block; width: 100%; padding: .45em .6em; font: inherit; color: var(--_ink); background: var(--_paper);
    border: 1px solid var(--_line); border-radius: .45em;
  }
  .foot { display: flex; justify-content: flex-end; gap: .6rem; margin-top: 1.1rem; }
`);

/**
 * Attributes: `job-id`; `base-url` and `token-key` (see {@link clientOf}), or the property `client`; `status`, kept by
 * a page that knows it (else the button follows its job by itself); `wait-seconds` (0 to 60), how long the answer may
 * wait for the stops to settle; `no-confirm`, to ask nothing. The attribute `state` tells its state.
 * Events: `beacon-cancelled` (`detail`: the answer), `beacon-cancel-failed` (`detail`: the error).
 */
export class CancelButton extends HTMLElement {
  static observedAttributes = ["job-id", "status", "base-url"];

  /** @type {BeaconClient|undefined} */
  #client;
  /** @type {ButtonState} */
  #state = "unknown";
  /** @type {AbortController|undefined} */
  #watch;
  #button = make("button", { type: "button", class: "danger", part: "button" });
  /** @type {HTMLDialogElement|undefined} */
  #dialog;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open", delegatesFocus: true });
    root.adoptedStyleSheets = [base, style];
    root.append(this.#button);
    this.#button.addEventListener("click", () => this.#ask());
    this.#show("unknown");
  }

  /** The client that it calls with. */
  get client() {
    return (this.#client ??= clientOf(this));
  }

  set client(client) {
    this.#client = client;
    this.#begin();
  }

  /** @returns {ButtonState} */
  get state() {
    return this.#state;
  }

  get jobId() {
    return this.getAttribute("job-id") ?? "";
  }

  connectedCallback() {
    this.setAttribute("state", this.#state);
    this.#begin();
  }

  disconnectedCallback() {
    this.#watch?.abort();
    this.#dialog?.close();
  }

  /**
   * @param {string} name
   * @param {string|null} before
   * @param {string|null} now
   */
  attributeChangedCallback(name, before, now) {
    if (before === now || !this.isConnected) return;
    if (name === "status" && now !== null) return this.#learn(now);
    if (name === "base-url") this.#client = undefined;
    if (name === "job-id") this.#show("unknown");
    this.#begin();
  }

  #begin() {
    this.#watch?.abort();
    if (!this.isConnected || this.jobId === "") return;
    const status = this.getAttribute("status");
    if (status !== null) return this.#learn(status);
    const watch = (this.#watch = new AbortController());
    const onEvent = (/** @type {import("./client.js").JobEvent} */ { event, data }) => {
      if (event === "job") this.#learn(data.status);
    };
    // Where the job cannot be read, there is nothing to press.
    this.client.watchJob(this.jobId, { onEvent, signal: watch.signal }).catch(() => {});
  }

  /** @param {string} status the job's */
  #learn(status) {
    // Its own request will tell more; and an outcome is the last word, whatever older news still comes in.
    if (["cancelling", "cancelled", "over"].includes(this.#state)) return;
    if (status === "queued" || status === "running") {
      if (this.#state !== "failed") this.#show("active");
    } else {
      this.#dialog?.close();
      this.#show(status === "cancelled" ? "cancelled" : "over");
    }
  }

  /** @param {ButtonState} state */
  #show(state) {
    this.#state = state;
    if (this.isConnected) this.setAttribute("state", state);
    this.#button.hidden = !["active", "cancelling", "failed"].includes(state);
    this.#button.disabled = state === "cancelling";
    this.#button.setAttribute("aria-busy", String(state === "cancelling"));
    if (state === "cancelling") {
      this.#button.replaceChildren(make("span", { class: "spin", "aria-hidden": "true" }), "Cancelling…");
    } else {
      this.#button.replaceChildren("Cancel Job");
    }
    this.#button.setAttribute("aria-label", `${this.#button.textContent} ${this.jobId}`);
  }

  #ask() {
    if (this.#button.disabled) return;
    if (this.hasAttribute("no-confirm")) return void this.cancel();
    const dialog = (this.#dialog ??= this.#makeDialog());
    if (dialog.open) return;
    const id = dialog.querySelector("code");
    if (id) id.textContent = this.jobId;
    const reason = dialog.querySelector("input");
    if (reason) reason.value = "";
    // Modal: the focus stays inside, Escape closes, and the focus returns to the button.
    dialog.showModal();
  }

  #makeDialog() {
    const reason = make("input", { id: "reason", maxlength: "500", autocomplete: "off", autofocus: "" });
    const keep = make("button", { type: "button", class: "keep" }, "Keep running");
    const yes = make("button", { type: "submit", class: "solid confirm" }, "Cancel job");
    const form = make(
      "form",
      {},
      make("h2", { id: "title" }, "Cancel this job?"),
      make("p", { id: "text" }, "Job ", make("code"), " ends now. What runs is told to stop, and you see what has stopped."),
      make("label", { for: "reason" }, "Reason (optional)"),
      reason,
      make("div", { class: "foot" }, keep, yes),
    );
    const dialog = make("dialog", { "aria-labelledby": "title", "aria-describedby": "text" }, form);
    keep.addEventListener("click", () => dialog.close());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!dialog.open) return;
      dialog.close();
      void this.cancel(reason.value.trim());
    });
    this.shadowRoot?.append(dialog);
    return dialog;
  }

  /**
   * Cancels the job now. One request at a time.
   * @param {string} [reason]
   */
  async cancel(reason = "") {
    if (this.#state === "cancelling") return;
    this.#show("cancelling");
    const id = this.jobId;
    const waitSeconds = Number(this.getAttribute("wait-seconds") ?? 0) || 0;
    try {
      const answer = await this.client.cancelJob(id, { reason, waitSeconds });
      if (this.jobId === id) this.#show("cancelled");
      showToast({ kind: "success", ...cancelWords(answer) });
      this.#tell("beacon-cancelled", answer);
    } catch (error) {
      const { jobStatus } = /** @type {Partial<import("./errors.js").ApiError>} */ (error);
      if (this.jobId === id) this.#show("failed");
      if (this.jobId === id && jobStatus) this.#learn(jobStatus);
      showToast({ kind: "error", ...cancelErrorWords(error) });
      this.#tell("beacon-cancel-failed", error);
    }
  }

  /**
   * @param {string} name
   * @param {unknown} detail
   */
  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }
}
