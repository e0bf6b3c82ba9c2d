// <beacon-job-progress>: a job's executions as they go on, and how far each stop has come.
import { clientOf } from "./connect.js";
import { Row, Writer, groups } from "./rows.js";
import { base, make, sheet } from "./style.js";
import { countWords, errorWords, moment } from "./words.js";

/**
 * @typedef {import("./client.js").BeaconClient} BeaconClient
 * @typedef {import("./client.js").JobEvent} JobEvent
 * @typedef {import("./client.js").Progress} Progress
 */

/** The most executions that the server gives at a time. */
const PAGE = 1000;

/** The parts of the bar. */
const PARTS = /** @type {const} */ (["completed", "running", "failed", "cancelled", "queued"]);

const style = sheet(`
  :host { display: block; }
  .head { display: flex; flex-wrap: wrap; gap: .3rem 1rem; justify-content: space-between; align-items: baseline; }
  .line { font-weight: 600; }
  .stops, .link { color: var(--_soft); font-size: .925em; }
  :host([state="away"]) .link { color: var(--_wait); }
  .bar { display: flex; height: .55rem; margin: .6rem 0 .9rem; overflow: hidden; background: var(--_box); border: 1px solid var(--_line); border-radius: 1rem; }
  .bar span { flex: 0 1 0; min-width: 0; transition: flex-grow .25s; }
  .bar .completed { background: var(--_good); } .bar .running { background: var(--_run); }
  .bar .failed { background: var(--_bad); } .bar .cancelled { background: var(--_soft); }
  @media (prefers-reduced-motion: reduce) { .bar span { transition: none; } }
  .frame { max-height: var(--beacon-table-height, 34rem); overflow: auto; border: 1px solid var(--_line); border-radius: .5rem; }
  table { width: 100%; border-collapse: collapse; font-size: .925em; font-variant-numeric: tabular-nums; }
  th, td { padding: .4rem .75rem; text-align: left; vertical-align: top; border-top: 1px solid var(--_line); font-weight: 400; }
  thead th { position: sticky; top: 0; z-index: 1; color: var(--_soft); background: var(--_box); font-size: .9em; border-top: 0; }
  .question th { font-weight: 600; background: color-mix(in srgb, var(--_box) 55%, var(--_paper)); }
  .mark { white-space: nowrap; font-weight: 550; }
  .mark:empty { display: none; }
  .mark::before { content: ""; display: inline-block; width: .5em; height: .5em; margin-right: .45em; border-radius: 50%; background: currentColor; vertical-align: .08em; }
  .mark[data-look="queued"], .mark[data-look="cancelled"], .mark[data-look="never"] { color: var(--_soft); }
  .mark[data-look="starting"], .mark[data-look="running"] { color: var(--_run); }
  .mark[data-look="completed"], .mark[data-look="stopped"] { color: var(--_good); }
  .mark[data-look="failed"] { color: var(--_bad); }
  .mark[data-look="stopping"], .mark[data-look="unconfirmed"] { color: var(--_wait); }
  .why { display: block; color: var(--_soft); font-size: .9em; }
  .why:empty { display: none; }
  tbody th, td:not(.result) { white-space: nowrap; }
  .question th { white-space: normal; }
  .why { white-space: normal; min-width: 12em; }
  .result { width: 100%; max-width: 0; overflow-wrap: anywhere; color: var(--_soft); }
  summary { cursor: pointer; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
  [open] summary { white-space: normal; }
  pre { margin: .35rem 0 .2rem; padding: .55rem .7rem; overflow-x: auto; font-size: .85em; color: var(--_ink); background: var(--_box); border-radius: .4rem; white-space: pre-wrap; }
`);

/**
 * Attributes: `job-id`; `base-url` and `token-key`, or the property `client`, as the button has them.
 * The attribute `state` tells how it stands: `loading`, `live`, `away` (trying again), `over`, `unreadable`.
 * Events: `beacon-job-changed` (`detail`: what a `job` event tells), `beacon-job-unreadable` (`detail`: the error).
 */
export class JobProgress extends HTMLElement {
  static observedAttributes = ["job-id", "base-url"];

  /** @type {BeaconClient|undefined} */
  #client;
  /** @type {AbortController|undefined} */
  #watch;
  /** @type {Map<string, Row>} */
  #rows = new Map();
  /** @type {Set<Row>} */
  #dirty = new Set();
  /** @type {(import("./client.js").JobSummary & {stops: import("./client.js").StopCounts})|undefined} */
  #job;
  #frame = 0;
  #writer = new Writer();
  #line = make("div", { class: "line", role: "status" }, "Loading…");
  #stops = make("div", { class: "stops", role: "status" });
  #link = make("div", { class: "link", role: "status" });
  #parts = new Map(PARTS.map((part) => [part, make("span", { class: part })]));
  #bar = make("div", { class: "bar", role: "progressbar", "aria-label": "Executions that are over", "aria-valuemin": "0" });
  #table = make("table", { "aria-label": "Executions" });

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [base, style];
    this.#bar.append(...this.#parts.values());
    const head = make("div", { class: "head" }, this.#line, this.#link);
    const frame = make("div", { class: "frame", tabindex: "0", role: "region", "aria-label": "Executions of the job" }, this.#table);
    root.append(head, this.#stops, this.#bar, frame);
  }

  get client() {
    return (this.#client ??= clientOf(this));
  }

  set client(client) {
    this.#client = client;
    this.#begin();
  }

  get jobId() {
    return this.getAttribute("job-id") ?? "";
  }

  connectedCallback() {
    this.#begin();
  }

  disconnectedCallback() {
    this.#watch?.abort();
  }

  /**
   * @param {string} name
   * @param {string|null} before
   * @param {string|null} now
   */
  attributeChangedCallback(name, before, now) {
    if (before === now || !this.isConnected) return;
    if (name === "base-url") this.#client = undefined;
    this.#begin();
  }

  #begin() {
    this.#watch?.abort();
    if (!this.isConnected || this.jobId === "") return;
    const watch = (this.#watch = new AbortController());
    this.#follow(this.jobId, watch.signal).catch((error) => {
      if (watch.signal.aborted) return;
      const { title, text } = errorWords(error);
      this.#writer.text(this.#line, `${title}. ${text}`);
      this.#writer.text(this.#link, "");
      this.setAttribute("state", "unreadable");
      this.dispatchEvent(new CustomEvent("beacon-job-unreadable", { detail: error, bubbles: true, composed: true }));
    });
  }

  /**
   * @param {string} id
   * @param {AbortSignal} signal
   */
  async #follow(id, signal) {
    this.setAttribute("state", "loading");
    this.#rows.clear();
    this.#dirty.clear();
    this.#job = undefined;
    this.#writer.text(this.#line, "Loading…");
    this.#writer.text(this.#stops, "");
    this.#table.replaceChildren();
    await this.#load(id, signal);
    const onEvent = (/** @type {JobEvent} */ event) => this.#take(event);
    const onConnection = (/** @type {"live"|"away"} */ state) => {
      this.setAttribute("state", state);
      this.#writer.text(this.#link, state === "live" ? "Live" : `Connection lost, trying again. As of ${moment(new Date().toISOString())}`);
    };
    await this.client.watchJob(id, { onEvent, onConnection, signal });
    if (signal.aborted) return;
    this.#writer.text(this.#link, "");
    // Events tell of no outputs.
    await this.#load(id, signal);
    if (!signal.aborted) this.setAttribute("state", "over");
  }

  /**
   * Reads the job and all of its executions.
   * @param {string} id
   * @param {AbortSignal} signal
   */
  async #load(id, signal) {
    const isFirst = this.#rows.size === 0;
    for (let execOffset = 0; ; execOffset += PAGE) {
      const detail = await this.client.getJob(id, { execLimit: PAGE, execOffset, signal });
      if (signal.aborted) return;
      for (const execution of detail.executions) {
        const row = this.#rows.get(execution.id) ?? new Row(execution);
        row.execution = execution;
        this.#rows.set(execution.id, row);
        this.#dirty.add(row);
      }
      const { job, status, progress, cancellation, stops } = detail;
      this.#job = { ...job, started_at: null, finished_at: null, status, progress, cancellation, stops };
      if (detail.executions.length < PAGE) break;
    }
    if (isFirst) {
      const names = ["Model", "Region", "Status", "Stop", "Evidence or result"];
      const head = make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, name))));
      for (const row of this.#rows.values()) row.render(this.#writer);
      this.#table.replaceChildren(head, ...groups([...this.#rows.values()]));
    }
    this.#soon();
  }

  /** @param {JobEvent} event */
  #take({ event, data }) {
    if (event === "job") {
      this.#job = data;
      this.dispatchEvent(new CustomEvent("beacon-job-changed", { detail: data, bubbles: true, composed: true }));
    } else {
      const row = this.#rows.get(event === "stop" ? data.execution_id : data.id);
      if (!row) return;
      if (event === "stop") {
        const { state, requested_at, confirmed_at, evidence, why } = data;
        row.execution = { ...row.execution, stop: { state, requested_at, confirmed_at, evidence, why } };
      } else {
        const { status, attempt, started_at, finished_at, progress, error } = data;
        row.execution = { ...row.execution, status, attempt, started_at, finished_at, progress, error };
      }
      this.#dirty.add(row);
    }
    this.#soon();
  }

  /** However many events come, the page is written to once a frame, and only where something differs. */
  #soon() {
    if (this.#frame !== 0) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      for (const row of this.#dirty) row.render(this.#writer);
      this.#dirty.clear();
      if (this.#job) this.#summary(this.#job);
    });
  }

  /** @param {import("./client.js").JobSummary & {stops: import("./client.js").StopCounts}} job */
  #summary({ status, progress, cancellation, stops, waiting_for: waiting }) {
    const write = this.#writer;
    const over = progress.completed + progress.failed + progress.cancelled;
    const counts = PARTS.filter((part) => progress[part] > 0).map((part) => `${progress[part]} ${part}`);
    const by = cancellation ? ` by ${cancellation.cancelled_by}, ${moment(cancellation.cancelled_at)}` : "";
    write.text(this.#line, `${status[0].toUpperCase()}${status.slice(1)}${by}: ${counts.join(", ")}`);
    const reason = cancellation?.reason ? `Reason: ${cancellation.reason}. ` : "";
    const waits = waiting.length > 0 ? `Waits for a node with: ${waiting.join(", ")}. ` : "";
    const stopped = countWords(stops);
    write.text(this.#stops, `${waits}${reason}${stopped ? `Stops: ${stopped}.` : ""}`);
    write.attribute(this.#bar, "aria-valuemax", String(progress.total));
    write.attribute(this.#bar, "aria-valuenow", String(over));
    write.attribute(this.#bar, "aria-valuetext", `${over} of ${progress.total} over`);
    for (const [part, element] of this.#parts) {
      const grow = String(progress[part]);
      if (element.style.flexGrow !== grow) element.style.flexGrow = grow;
    }
  }
}
