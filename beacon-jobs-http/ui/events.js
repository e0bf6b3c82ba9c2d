// Server-sent events, read with fetch: an EventSource sends no Authorization header.
import { ApiError } from "./errors.js";

/** The first and the longest pause before a new try, in milliseconds. */
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15_000;

/** The server says something every 15 s; a connection that is silent for so long, in milliseconds, is dead. */
const SILENCE = 45_000;

/**
 * Splits a stream of server-sent events. Feed it text as it comes.
 */
export class EventParser {
  /** @param {(event: {name: string, id: string|undefined, data: string}) => void} onEvent */
  constructor(onEvent) {
    this.onEvent = onEvent;
    this.rest = "";
    /** @type {string[]} */
    this.data = [];
    this.name = "";
    /** @type {string|undefined} */
    this.id = undefined;
  }

  /** @param {string} text */
  feed(text) {
    this.rest += text;
    // A CR at the end may be the first half of a CRLF.
    const lines = this.rest.split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop() ?? "";
    for (const line of lines) this.#line(line);
  }

  /** @param {string} line */
  #line(line) {
    if (line === "") {
      if (this.data.length > 0) this.onEvent({ name: this.name, id: this.id, data: this.data.join("\n") });
      this.data = [];
      this.name = "";
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.name = value;
    else if (field === "data") this.data.push(value);
    else if (field === "id" && !value.includes("\0")) this.id = value;
  }
}

/**
 * Reads events until one of them is the last, and goes on after the last one read when a connection is lost.
 * @param {object} options
 * @param {(lastId: string|undefined, signal: AbortSignal) => Promise<Response>} options.open
 * @param {(name: string, data: string) => boolean} options.onEvent returns true for the last
 * @param {(state: "live"|"away") => void} options.onConnection
 * @param {AbortSignal} [options.signal]
 */
export async function readEvents({ open, onEvent, onConnection, signal }) {
  /** @type {string|undefined} */
  let lastId;
  let pause = FIRST_PAUSE;
  let over = false;
  const parserOf = () =>
    new EventParser(({ name, id, data }) => {
      if (over || signal?.aborted) return;
      over = onEvent(name, data);
      // Only what was taken in counts as read.
      if (id !== undefined) lastId = id;
      pause = FIRST_PAUSE;
    });
  while (!over && !signal?.aborted) {
    const attempt = new AbortController();
    const end = () => attempt.abort();
    signal?.addEventListener("abort", end);
    let least = 0;
    try {
      const response = await open(lastId, attempt.signal);
      onConnection("live");
      await readBody(response, parserOf(), attempt, () => over);
    } catch (error) {
      if (signal?.aborted) return;
      if (!(error instanceof ApiError) || !error.mayPass) throw error;
      least = (error.retryAfter ?? 0) * 1000;
    } finally {
      signal?.removeEventListener("abort", end);
      attempt.abort();
    }
    if (over || signal?.aborted) return;
    onConnection("away");
    // Spread, so that the pages of a server that was away do not all come at once.
    await sleep(Math.max(least, pause * (0.5 + Math.random())), signal);
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  }
}

/**
 * @param {Response} response
 * @param {EventParser} parser
 * @param {AbortController} attempt
 * @param {() => boolean} isOver
 */
async function readBody(response, parser, attempt, isOver) {
  const reader = response.body?.getReader();
  if (!reader) return;
  const decoder = new TextDecoder();
  while (!isOver()) {
    const silence = setTimeout(() => attempt.abort(), SILENCE);
    let chunk;
    try {
      chunk = await reader.read();
    } catch {
      return;
    } finally {
      clearTimeout(silence);
    }
    if (chunk.done) return;
    parser.feed(decoder.decode(chunk.value, { stream: true }));
  }
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
function sleep(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done() {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    }
    signal?.addEventListener("abort", done);
  });
}
