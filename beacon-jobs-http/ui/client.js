// The API of beacon-jobs for browsers.
import { ApiError } from "./errors.js";
import { readEvents } from "./events.js";

/**
 * @typedef {"queued"|"running"|"completed"|"failed"|"cancelled"} JobStatus
 * @typedef {"queued"|"starting"|"running"|"completed"|"failed"|"cancelled"} ExecutionStatus
 * @typedef {"not_needed"|"requested"|"acknowledged"|"confirmed"|"unconfirmed"} StopState
 *
 * @typedef {object} Progress
 * @property {number} total
 * @property {number} completed
 * @property {number} failed
 * @property {number} cancelled
 * @property {number} running
 * @property {number} queued
 *
 * @typedef {object} StopCounts
 * @property {number} total
 * @property {number} not_needed
 * @property {number} requested
 * @property {number} acknowledged
 * @property {number} confirmed
 * @property {number} unconfirmed
 *
 * @typedef {object} Stop
 * @property {StopState} state
 * @property {string} requested_at
 * @property {string|null} confirmed_at
 * @property {unknown} evidence
 * @property {string|null} why
 *
 * @typedef {object} Cancellation
 * @property {string} cancelled_at
 * @property {string} cancelled_by
 * @property {string|null} reason
 *
 * @typedef {object} ExecutionProgress
 * @property {number} done
 * @property {number|null} total
 * @property {string|null} message
 *
 * @typedef {object} Execution
 * @property {string} id
 * @property {string} executor
 * @property {Record<string, string>} labels
 * @property {ExecutionStatus} status
 * @property {number} attempt
 * @property {string|null} started_at
 * @property {string|null} finished_at
 * @property {ExecutionProgress|null} progress
 * @property {{kind: string, message: string}|null} error
 * @property {unknown} output
 * @property {unknown} late_output
 * @property {Stop|null} stop
 *
 * @typedef {object} JobSummary
 * @property {string} id
 * @property {string} owner
 * @property {JobStatus} status
 * @property {Record<string, string>} labels
 * @property {string} created_at
 * @property {string|null} started_at
 * @property {string|null} finished_at
 * @property {Progress} progress
 * @property {Cancellation|null} cancellation
 * @property {string[]} waiting_for
 *
 * @typedef {object} JobDetail
 * @property {{id: string, owner: string, created_at: string, waiting_for: string[], labels: Record<string, string>}} job
 * @property {JobStatus} status
 * @property {Progress} progress
 * @property {Execution[]} executions
 * @property {Cancellation|null} cancellation
 * @property {StopCounts} stops
 *
 * @typedef {object} CancelAnswer
 * @property {true} ok
 * @property {string} job_id
 * @property {JobStatus} previous_status
 * @property {"cancelled"} new_status
 * @property {boolean} context_cancelled
 * @property {number} executions_cancelled
 * @property {string} cancelled_at
 * @property {string} cancelled_by
 * @property {string|null} reason
 * @property {boolean} already_cancelled
 * @property {boolean} [escalated]
 * @property {StopCounts} stops
 *
 * @typedef {object} CancelOptions
 * @property {string} [reason] at most 500 characters
 * @property {"graceful"|"immediate"} [mode]
 * @property {number} [graceSeconds] 0 to 600
 * @property {number} [waitSeconds] 0 to 60: answer once every stop is settled, or after so long
 * @property {AbortSignal} [signal]
 *
 * @typedef {{event: "execution", data: {job_id: string, id: string, status: ExecutionStatus, attempt: number,
 *   started_at: string|null, finished_at: string|null, progress: ExecutionProgress|null, error: {kind: string, message: string}|null}}
 *   | {event: "stop", data: Stop & {job_id: string, execution_id: string}}
 *   | {event: "job", data: JobSummary & {stops: StopCounts, over: boolean}}} JobEvent
 *
 * @typedef {object} WatchOptions
 * @property {(event: JobEvent) => void} onEvent each change, once and in order
 * @property {(state: "live"|"away") => void} [onConnection] whether changes come in now
 * @property {AbortSignal} [signal] ends the watch
 */

/** How long a request may take before it counts as unanswered, in milliseconds, beside any `waitSeconds`. */
const PATIENCE = 30_000;

/** Calls the API. */
export class BeaconClient {
  /**
   * @param {{baseUrl?: string, token?: string | (() => string|null|undefined)}} [options] `baseUrl` is what stands
   *   before `/api/v1`: empty for the page's own server. A token that is a function is asked at every request.
   */
  constructor({ baseUrl = "", token } = {}) {
    this.baseUrl = baseUrl.replace(/\/+$/, "");
    this.token = token;
  }

  /**
   * Cancels a job. The answer says what was stopped, and what is not stopped yet.
   * @param {string} id
   * @param {CancelOptions} [options]
   * @returns {Promise<CancelAnswer>}
   */
  cancelJob(id, { reason, mode, graceSeconds, waitSeconds = 0, signal } = {}) {
    const query = waitSeconds > 0 ? `?wait=${Math.min(60, Math.ceil(waitSeconds))}` : "";
    const body = { reason: reason || undefined, mode, grace_seconds: graceSeconds };
    const patience = PATIENCE + waitSeconds * 1000;
    return this.#call("POST", `/jobs/${encodeURIComponent(id)}/cancel${query}`, { body, signal, patience });
  }

  /**
   * A job with a page of its executions.
   * @param {string} id
   * @param {{execLimit?: number, execOffset?: number, signal?: AbortSignal}} [options]
   * @returns {Promise<JobDetail>}
   */
  getJob(id, { execLimit = 100, execOffset = 0, signal } = {}) {
    const query = `exec_limit=${execLimit}&exec_offset=${execOffset}`;
    return this.#call("GET", `/jobs/${encodeURIComponent(id)}?${query}`, { signal });
  }

  /**
   * Jobs, newest first.
   * @param {{status?: JobStatus, labels?: Record<string, string>, limit?: number, cursor?: string, signal?: AbortSignal}} [options]
   * @returns {Promise<{jobs: JobSummary[], next_cursor: string|null}>}
   */
  listJobs({ status, labels = {}, limit = 50, cursor, signal } = {}) {
    const query = new URLSearchParams({ limit: String(limit) });
    if (status) query.set("status", status);
    if (cursor) query.set("cursor", cursor);
    for (const [key, value] of Object.entries(labels)) query.append("label", `${key}:${value}`);
    return this.#call("GET", `/jobs?${query}`, { signal });
  }

  /**
   * Submits a job. With a key the same request may be sent again.
   * @param {unknown} job
   * @param {{idempotencyKey?: string, signal?: AbortSignal}} [options]
   * @returns {Promise<{id: string, status: JobStatus}>}
   */
  submitJob(job, { idempotencyKey, signal } = {}) {
    /** @type {Record<string, string>} */
    const headers = idempotencyKey ? { "Idempotency-Key": idempotencyKey } : {};
    return this.#call("POST", "/jobs", { body: job, headers, signal });
  }

  /** @returns {Promise<{nonce: string, expires_at: string}>} a nonce to sign in with */
  nonce() {
    return this.#call("POST", "/auth/nonce", {});
  }

  /**
   * Opens a session for whoever signed an EIP-4361 message.
   * @param {string} message
   * @param {string} signature
   * @returns {Promise<{token: string, address: string, expires_at: string}>}
   */
  signIn(message, signature) {
    return this.#call("POST", "/auth/session", { body: { message, signature } });
  }

  /** Ends the session of this client's token. */
  async signOut() {
    await this.#call("DELETE", "/auth/session", {});
  }

  /**
   * Follows a job until it is over, through lost connections. The promise is kept when it is over or the signal
   * ends it, and broken by an {@link ApiError} when the server refuses.
   * @param {string} id
   * @param {WatchOptions} options
   * @returns {Promise<void>}
   */
  watchJob(id, { onEvent, onConnection = () => {}, signal }) {
    return readEvents({
      open: (lastId, attempt) => {
        /** @type {Record<string, string>} */
        const headers = { Accept: "text/event-stream" };
        if (lastId) headers["Last-Event-ID"] = lastId;
        return this.#request("GET", `/jobs/${encodeURIComponent(id)}/events`, { headers, signal: attempt });
      },
      onEvent: (name, text) => {
        const event = /** @type {JobEvent} */ ({ event: name, data: JSON.parse(text) });
        onEvent(event);
        return event.event === "job" && event.data.over;
      },
      onConnection,
      signal,
    });
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {{body?: unknown, headers?: Record<string, string>, signal?: AbortSignal, patience?: number}} options
   * @returns {Promise<any>}
   */
  async #call(method, path, { body, headers = {}, signal, patience = PATIENCE }) {
    const limit = AbortSignal.timeout(patience);
    const either = signal ? AbortSignal.any([signal, limit]) : limit;
    const response = await this.#request(method, path, { body, headers, signal: either });
    if (response.status === 204) return undefined;
    try {
      return await response.json();
    } catch {
      throw new ApiError(0, "no_answer", "The answer of the server broke off.");
    }
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {{body?: unknown, headers: Record<string, string>, signal?: AbortSignal}} options
   * @returns {Promise<Response>} an answer that is no refusal
   */
  async #request(method, path, { body, headers, signal }) {
    const token = typeof this.token === "function" ? this.token() : this.token;
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    /** @type {Response} */
    let response;
    try {
      const text = body === undefined ? undefined : JSON.stringify(body);
      // No cookie goes along: who asks is told by the token alone.
      const request = { method, headers, body: text, signal, credentials: /** @type {const} */ ("omit") };
      response = await fetch(`${this.baseUrl}/api/v1${path}`, { ...request, cache: "no-store" });
    } catch {
      throw new ApiError(0, "no_answer", "The server cannot be reached, or its answer was lost.");
    }
    if (!response.ok) throw await refusal(response);
    return response;
  }
}

/**
 * @param {Response} response
 * @returns {Promise<ApiError>}
 */
async function refusal(response) {
  const seconds = Number(response.headers.get("Retry-After"));
  const retryAfter = Number.isFinite(seconds) && seconds > 0 ? seconds : undefined;
  try {
    const problem = await response.json();
    const text = problem.detail ?? problem.error ?? `The server answered with status ${response.status}.`;
    return new ApiError(response.status, problem.code ?? "unknown", text, { jobStatus: problem.job_status, retryAfter });
  } catch {
    return new ApiError(response.status, "unknown", `The server answered with status ${response.status}.`, { retryAfter });
  }
}
