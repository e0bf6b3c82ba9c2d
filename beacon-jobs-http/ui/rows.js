// The rows of a job's table: one for each execution, made once and then changed in place.
import { make } from "./style.js";
import { evidenceWords, moment, progressWords, stopWords } from "./words.js";

/** @typedef {import("./client.js").Execution} Execution */

/** How much of an output is shown in its row. */
const MOST_TEXT = 120;

/** Writes a text or attribute only where it differs: what did not change is not rendered again. */
export class Writer {
  /** How many changes were made. */
  count = 0;

  /**
   * @param {Node} node
   * @param {string} text
   */
  text(node, text) {
    if (node.textContent === text) return;
    node.textContent = text;
    this.count += 1;
  }

  /**
   * @param {Element} element
   * @param {string} name
   * @param {string} value
   */
  attribute(element, name, value) {
    if (element.getAttribute(name) === value) return;
    element.setAttribute(name, value);
    this.count += 1;
  }
}

/** One execution. */
export class Row {
  #status = make("span", { class: "mark" });
  #stop = make("span", { class: "mark" });
  #why = make("span", { class: "why" });
  #text = make("span");
  #result = make("td", { class: "result" }, this.#text);
  /** @type {HTMLElement|undefined} */
  #proof;

  /** @param {Execution} execution */
  constructor(execution) {
    this.execution = execution;
    const { model, region } = execution.labels;
    const name = model ?? `execution ${execution.id}`;
    this.element = make(
      "tr",
      { "data-execution": execution.id },
      make("th", { scope: "row" }, name),
      make("td", {}, region ?? "–"),
      make("td", {}, this.#status),
      make("td", {}, this.#stop, this.#why),
      this.#result,
    );
  }

  /** @param {Writer} writer */
  render(writer) {
    const { status, attempt, stop } = this.execution;
    writer.text(this.#status, attempt > 1 ? `${status} (attempt ${attempt})` : status);
    writer.attribute(this.#status, "data-look", status);
    const words = stopWords(this.execution);
    writer.text(this.#stop, words.label);
    writer.attribute(this.#stop, "data-look", words.look);
    writer.text(this.#why, words.detail);
    const proof = words.look === "stopped" ? evidenceWords(stop?.evidence) : "";
    if (proof !== "") this.#prove(writer, proof);
    else if (this.#proof) {
      // A stop that was reopened has no evidence that counts.
      this.#proof.remove();
      this.#proof = undefined;
      writer.count += 1;
    }
    writer.text(this.#text, this.#outcome());
  }

  /**
   * @param {Writer} writer
   * @param {string} words
   */
  #prove(writer, words) {
    if (this.#proof) return;
    const whole = make("pre");
    const proof = make("details", { class: "evidence" }, make("summary", {}, words), whole);
    proof.addEventListener("toggle", () => {
      const { stop, late_output: late } = this.execution;
      const shown = { requested_at: stop?.requested_at, confirmed_at: stop?.confirmed_at, evidence: stop?.evidence };
      whole.textContent = JSON.stringify(late === null ? shown : { ...shown, late_output: late }, null, 2);
    });
    this.#proof = proof;
    this.#result.append(proof);
    writer.count += 1;
  }

  #outcome() {
    const { error, output, progress, finished_at: finished } = this.execution;
    if (finished === null && progress) return progressWords(progress);
    if (error) return `${error.kind}: ${error.message}`;
    if (output === null || output === undefined) return this.execution.status === "completed" ? moment(finished) : "";
    const { stdout } = /** @type {{stdout?: unknown}} */ (output);
    const text = typeof stdout === "string" ? (stdout.trimEnd().split("\n").pop() ?? "") : JSON.stringify(output);
    return text.length > MOST_TEXT ? `${text.slice(0, MOST_TEXT)}…` : text;
  }
}

/**
 * Executions as groups of rows: by question, then model, then region, each in the order in which they come up.
 * @param {Row[]} rows
 * @returns {HTMLTableSectionElement[]}
 */
export function groups(rows) {
  /** @type {Map<string, Row[]>} */
  const questions = new Map();
  for (const row of rows) {
    const question = row.execution.labels.question ?? "";
    const group = questions.get(question) ?? [];
    questions.set(question, group);
    group.push(row);
  }
  return [...questions].map(([question, group]) => {
    const models = order(group, "model");
    const regions = order(group, "region");
    const rank = (/** @type {Row} */ { execution: { labels } }) =>
      (models.get(labels.model) ?? 0) * regions.size + (regions.get(labels.region) ?? 0);
    group.sort((one, other) => rank(one) - rank(other));
    const body = make("tbody");
    if (question !== "") body.append(make("tr", { class: "question" }, make("th", { scope: "rowgroup", colspan: "5" }, question)));
    body.append(...group.map((row) => row.element));
    return body;
  });
}

/**
 * @param {Row[]} rows
 * @param {string} label
 * @returns {Map<string|undefined, number>}
 */
function order(rows, label) {
  const values = new Set(rows.map((row) => row.execution.labels[label]));
  return new Map([...values].map((value, place) => [value, place]));
}
