// How a call of the API fails.

/** A refusal, a failure of the server, or no answer (`status` 0). */
export class ApiError extends Error {
  /**
   * @param {number} status the HTTP status; 0 when there was no answer
   * @param {string} code the stable word for it; `no_answer` when there was none
   * @param {string} message the server's own words
   * @param {{jobStatus?: import("./client.js").JobStatus, retryAfter?: number}} [more]
   */
  constructor(status, code, message, more = {}) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    /** The status of the job, where the refusal tells it. */
    this.jobStatus = more.jobStatus;
    /** How many seconds to wait before the next try, where the server tells it. */
    this.retryAfter = more.retryAfter;
  }

  /** Whether the same request may be answered later. */
  get mayPass() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}
