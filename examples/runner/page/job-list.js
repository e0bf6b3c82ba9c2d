// The list of jobs. Rows are changed in place, so that a dialog in one stays open.
import { moment } from "../ui/words.js";
import { TOKEN_KEY } from "./session.js";

/** @typedef {import("../ui/client.js").JobSummary} JobSummary */

/** How many jobs are asked for at a time. */
export const PAGE = 50;

/** How long the answer to a cancel may wait for the stops to settle, in seconds. */
export const WAIT = "5";

/**
 * @param {string} id
 * @param {string} [status]
 * @returns {HTMLElement}
 */
export function cancelButton(id, status) {
  const button = document.createElement("beacon-cancel-button");
  button.setAttribute("job-id", id);
  button.setAttribute("token-key", TOKEN_KEY);
  button.setAttribute("wait-seconds", WAIT);
  if (status) button.setAttribute("status", status);
  return button;
}

export class JobList {
  /** @type {Map<string, JobRow>} */
  #rows = new Map();

  /** @param {HTMLTableSectionElement} body */
  constructor(body) {
    this.body = body;
  }

  get size() {
    return this.#rows.size;
  }

  clear() {
    this.#rows.clear();
    this.body.replaceChildren();
  }

  /**
   * Takes in the newest jobs, or older ones.
   * @param {JobSummary[]} jobs
   * @param {"newest"|"older"} which
   */
  take(jobs, which) {
    /** @type {Node|null} */
    let place = this.body.firstChild;
    for (const job of jobs) {
      let row = this.#rows.get(job.id);
      if (!row) {
        row = new JobRow(job);
        this.#rows.set(job.id, row);
        if (which === "older") this.body.append(row.element);
        else this.body.insertBefore(row.element, place);
      } else if (row.element === place) {
        place = place.nextSibling;
      }
      row.render(job);
    }
  }

  /** @param {JobSummary} job */
  update(job) {
    this.#rows.get(job.id)?.render(job);
  }

  /** @param {string|null} id */
  choose(id) {
    for (const [its, row] of this.#rows) row.element.classList.toggle("chosen", its === id);
  }
}

class JobRow {
  /** @param {JobSummary} job */
  constructor(job) {
    const cell = (/** @type {"td"|"th"} */ name, /** @type {(Node|string)[]} */ ...children) => {
      const made = document.createElement(name);
      made.append(...children);
      return made;
    };
    const link = document.createElement("a");
    link.href = `#job=${encodeURIComponent(job.id)}`;
    link.textContent = job.id;
    this.status = document.createElement("span");
    this.status.className = "status";
    this.bar = document.createElement("progress");
    this.counts = document.createElement("span");
    this.button = cancelButton(job.id, job.status);
    const head = cell("th", link);
    head.scope = "row";
    const when = moment(job.created_at);
    this.element = document.createElement("tr");
    this.element.dataset.job = job.id;
    this.element.append(
      head,
      cell("td", this.status),
      cell("td", this.bar, this.counts),
      cell("td", short(job.owner)),
      cell("td", when),
      cell("td", this.button),
    );
  }

  /** @param {JobSummary} job */
  render({ id, status, progress }) {
    const over = progress.completed + progress.failed + progress.cancelled;
    const text = `${over} of ${progress.total}`;
    if (this.status.textContent !== status) this.status.textContent = status;
    this.status.dataset.status = status;
    this.bar.dataset.status = status;
    this.bar.max = progress.total;
    this.bar.value = over;
    this.bar.setAttribute("aria-label", `${id}: executions that are over`);
    if (this.counts.textContent !== text) this.counts.textContent = text;
    this.button.setAttribute("status", status);
  }
}

/**
 * An address in few letters.
 * @param {string} owner
 */
export function short(owner) {
  return /^0x[0-9a-f]{40}$/.test(owner) ? `${owner.slice(0, 8)}…${owner.slice(-6)}` : owner;
}
