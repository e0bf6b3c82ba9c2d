// Every sentence that a user is told about a stop. "Stopped" is said only where there is evidence.

/**
 * @typedef {import("./client.js").StopCounts} StopCounts
 * @typedef {import("./client.js").CancelAnswer} CancelAnswer
 * @typedef {import("./errors.js").ApiError} ApiError
 * @typedef {"none"|"never"|"stopping"|"stopped"|"unconfirmed"} StopLook
 */

/**
 * How far the stop of an execution has come.
 * @param {Pick<import("./client.js").Execution, "status"|"attempt"|"stop">} execution
 * @returns {{look: StopLook, label: string, detail: string}}
 */
export function stopWords({ status, attempt, stop }) {
  if (stop === null || stop.state === "not_needed") {
    if (status !== "cancelled") return { look: "none", label: "", detail: "" };
    if (attempt === 0) return { look: "never", label: "never started", detail: "" };
    return { look: "never", label: "nothing to stop", detail: "nothing of it was running" };
  }
  switch (stop.state) {
    case "requested":
      return { look: "stopping", label: "stopping", detail: "asked for, no answer yet" };
    case "acknowledged":
      return { look: "stopping", label: "stopping", detail: "told to stop, its end is not shown yet" };
    case "confirmed":
      return stop.evidence === null || stop.evidence === undefined
        ? { look: "unconfirmed", label: "not confirmed", detail: "no evidence was given" }
        : { look: "stopped", label: "stopped", detail: "" };
    default:
      return { look: "unconfirmed", label: "not confirmed", detail: stop.why ?? "no reason was given" };
  }
}

/**
 * How far an attempt has come.
 * @param {import("./client.js").ExecutionProgress} progress
 * @returns {string}
 */
export function progressWords({ done, total, message }) {
  const count = total === null ? String(done) : `${done} of ${total}`;
  return message === null ? count : `${count}: ${message}`;
}

/**
 * Evidence in one line.
 * @param {unknown} evidence
 * @returns {string}
 */
export function evidenceWords(evidence) {
  if (typeof evidence !== "object" || evidence === null) return String(evidence ?? "");
  const known = /** @type {Record<string, unknown>} */ (evidence);
  const parts = [];
  if (typeof known.ended_by === "string") parts.push(`ended by ${known.ended_by}`);
  if (typeof known.level === "string") parts.push(`level ${known.level}`);
  const short = parts.join(", ");
  if (typeof known.shown_by === "string") return short ? `${short}: ${known.shown_by}` : known.shown_by;
  return short || "evidence";
}

/**
 * The counts of stops as a sentence; empty when there are none.
 * @param {StopCounts} stops
 * @returns {string}
 */
export function countWords(stops) {
  const stopping = stops.requested + stops.acknowledged;
  return [
    [stops.confirmed, "stopped, with evidence"],
    [stopping, "stopping"],
    [stops.unconfirmed, "not confirmed"],
    [stops.not_needed, "with nothing to stop"],
  ]
    .filter(([count]) => Number(count) > 0)
    .map(([count, words]) => `${count} ${words}`)
    .join(", ");
}

/** @param {number} count */
const executions = (count) => (count === 1 ? "1 execution" : `${count} executions`);

/**
 * What a cancel did, as the server's answer has it.
 * @param {CancelAnswer} answer
 * @returns {{title: string, text: string}}
 */
export function cancelWords(answer) {
  const { stops } = answer;
  const all = stops.confirmed > 0 && stops.confirmed + stops.not_needed === stops.total;
  const first = answer.already_cancelled
    ? `By ${answer.cancelled_by}, ${moment(answer.cancelled_at)}.`
    : `${executions(answer.executions_cancelled)} cancelled.`;
  const counts = countWords(stops);
  const title = answer.already_cancelled ? "Job was cancelled before" : "Job cancelled";
  return {
    title: all ? `${title}, and stopped` : title,
    text: counts ? `${first} ${counts[0].toUpperCase()}${counts.slice(1)}.` : first,
  };
}

/** @type {Record<string, string>} */
const HEADLINES = {
  no_answer: "No answer from the server",
  unauthenticated: "Not signed in",
  sign_in_refused: "Sign-in refused",
  forbidden: "Not allowed",
  executor_forbidden: "Not allowed",
  job_not_found: "No such job",
  already_finished: "Too late to cancel",
  store_unavailable: "Nothing was changed",
  outcome_unknown: "Outcome not known",
};

/**
 * A refusal or failure, in the server's own words under a headline.
 * @param {unknown} error
 * @returns {{title: string, text: string}}
 */
export function errorWords(error) {
  const { status, code, message } = /** @type {Partial<ApiError>} */ (error ?? {});
  const text = message || String(error);
  const headline = code !== undefined && HEADLINES[code];
  if (headline) return { title: headline, text: sentence(text) };
  if (status === 429) return { title: "Too many requests", text: sentence(text) };
  if (status !== undefined && status >= 500) return { title: `Server error (${status})`, text: sentence(text) };
  if (status) return { title: `Refused (${status})`, text: sentence(text) };
  return { title: "Something went wrong", text: sentence(text) };
}

/**
 * A cancel that brought no good answer.
 * @param {unknown} error
 * @returns {{title: string, text: string}}
 */
export function cancelErrorWords(error) {
  const words = errorWords(error);
  const { code } = /** @type {Partial<ApiError>} */ (error ?? {});
  if (code === "no_answer") {
    words.text += " Whether the job was cancelled is not known; it is safe to press the button again.";
  }
  return words;
}

/** @param {string} text */
function sentence(text) {
  const first = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(first) ? first : `${first}.`;
}

/**
 * A time for people.
 * @param {string|null|undefined} time
 * @returns {string}
 */
export function moment(time) {
  const date = new Date(time ?? "");
  if (Number.isNaN(date.getTime())) return "";
  const today = date.toDateString() === new Date().toDateString();
  return today ? date.toLocaleTimeString() : date.toLocaleString();
}
