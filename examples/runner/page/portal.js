// The page of beacon-runner: sign in, start jobs, follow them, cancel them, see the evidence.
import { ApiError, BeaconClient, errorWords, showToast } from "../ui/beacon-jobs.js";
import { JobList, PAGE, cancelButton, short } from "./job-list.js";
import { sample } from "./sample.js";
import { TOKEN_KEY, forget, keep, signedIn, takeFromAddress } from "./session.js";
import { findWallet, refusalOf, signInWith } from "./wallet.js";

/** How often the list of jobs is read, in milliseconds; and how often at most, where the server is away. */
const EVERY = 2000;
const AT_MOST_EVERY = 10_000;

/** @param {string} id @returns {any} */
const by = (id) => document.getElementById(id);
const facts = document.body.dataset;
const client = new BeaconClient({ token: () => signedIn()?.token });
const list = new JobList(by("jobs").tBodies[0]);
/** @type {string|null|undefined} where older jobs begin; undefined before the first answer */
let older;
/** The number of the reading of the list that counts. */
let reading = 0;
let timer = 0;
let misses = 0;

/** @param {HTMLElement} note @param {string} text */
function note(note, text) {
  note.textContent = text;
  note.hidden = text === "";
}

/** Shows what fits who is signed in. */
function show() {
  const who = signedIn();
  const isIn = facts.open === "true" || who !== null;
  by("sign-in").hidden = isIn;
  by("work").hidden = !isIn;
  by("who").hidden = who === null;
  by("who-name").textContent = who ? short(who.name) : "";
  by("who-name").title = who?.name ?? "";
  by("by-token").hidden = facts.token !== "true";
  by("by-wallet").hidden = facts.wallet !== "true";
  if (isIn) refresh();
  else leave();
  choose();
}

/** Forgets what only the one who was signed in may see. */
function leave() {
  clearTimeout(timer);
  reading += 1;
  older = undefined;
  list.clear();
}

/** @param {string} token @param {string} name */
function enter(token, name) {
  keep(token, name);
  note(by("sign-in-problem"), "");
  show();
}

/** The server does not know the token: it has ended, or was never one. */
function thrownOut() {
  forget();
  note(by("sign-in-problem"), "The server does not take this sign-in, or it has ended. Sign in again.");
  show();
}

async function refresh() {
  clearTimeout(timer);
  const mine = ++reading;
  try {
    const page = await client.listJobs({ limit: PAGE });
    if (mine !== reading) return;
    misses = 0;
    by("away").hidden = true;
    list.take(page.jobs, "newest");
    if (older === undefined) older = page.next_cursor;
    showList();
  } catch (error) {
    if (mine !== reading) return;
    if (error instanceof ApiError && error.status === 401 && facts.open !== "true") return thrownOut();
    misses += 1;
    by("away").textContent = `${errorWords(error).title}. What is shown may be old; trying again.`;
    by("away").hidden = false;
  }
  timer = setTimeout(refresh, Math.min(EVERY * 2 ** Math.min(misses, 3), AT_MOST_EVERY));
}

function showList() {
  by("older").hidden = !older;
  by("no-jobs").hidden = list.size > 0;
  by("jobs").hidden = list.size === 0;
  by("new").open ||= list.size === 0;
  list.choose(chosen());
}

/** @returns {string|null} the job that the address names */
function chosen() {
  return new URLSearchParams(location.hash.slice(1)).get("job");
}

/** Shows the job that the address names. */
function choose() {
  const id = by("work").hidden ? null : chosen();
  const section = by("job");
  list.choose(id);
  if (section.dataset.job === (id ?? "")) return;
  section.dataset.job = id ?? "";
  section.hidden = id === null;
  by("job-title").textContent = id === null ? "" : `Job ${id}`;
  by("job-progress").replaceChildren();
  by("job-button").replaceChildren();
  if (id === null) return;
  const progress = document.createElement("beacon-job-progress");
  progress.setAttribute("job-id", id);
  progress.setAttribute("token-key", TOKEN_KEY);
  by("job-progress").append(progress);
}

function lines(/** @type {string} */ id) {
  const texts = by(id).value.split("\n").map((/** @type {string} */ line) => line.trim());
  return [...new Set(texts)].filter((text) => text !== "");
}

function writeFile() {
  const seconds = Number(by("seconds").value);
  const fields = { questions: lines("questions"), models: lines("models"), regions: lines("regions"), seconds };
  by("file").value = JSON.stringify(sample(fields), null, 2);
}

async function submit() {
  const start = by("start");
  if (start.disabled) return;
  note(by("submit-problem"), "");
  let job;
  try {
    job = JSON.parse(by("file").value);
  } catch (error) {
    return note(by("submit-problem"), `The job file is not JSON: ${/** @type {Error} */ (error).message}`);
  }
  start.disabled = true;
  try {
    const { id } = await client.submitJob(job, { idempotencyKey: crypto.randomUUID() });
    showToast({ kind: "success", title: "Job submitted", text: `It has the id ${id}.` });
    by("new").open = false;
    location.hash = `job=${encodeURIComponent(id)}`;
    refresh();
  } catch (error) {
    const { title, text } = errorWords(error);
    note(by("submit-problem"), `${title}. ${text}`);
  } finally {
    start.disabled = false;
  }
}

async function byWallet() {
  const wallet = findWallet();
  const problem = by("sign-in-problem");
  if (!wallet) return note(problem, "No wallet was found in this browser.");
  by("wallet").disabled = true;
  note(problem, "");
  try {
    const { token, address } = await signInWith(client, wallet, facts.address ?? location.origin);
    enter(token, address);
  } catch (error) {
    note(problem, refusalOf(error) ?? Object.values(errorWords(error)).join(". "));
  } finally {
    by("wallet").disabled = false;
  }
}

async function signOut() {
  const who = signedIn();
  // The token of the administrator opens no session that could be ended.
  if (who && who.name !== "administrator") {
    await client.signOut().catch((error) => showToast({ kind: "error", ...errorWords(error) }));
  }
  forget();
  show();
}

by("by-token").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  const token = by("token").value.trim();
  by("token").value = "";
  if (token !== "") enter(token, "administrator");
});
by("wallet").addEventListener("click", byWallet);
by("sign-out").addEventListener("click", signOut);
by("submit").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  submit();
});
for (const id of ["questions", "models", "regions", "seconds"]) by(id).addEventListener("input", writeFile);
by("older").addEventListener("click", async () => {
  try {
    const page = await client.listJobs({ limit: PAGE, cursor: older ?? undefined });
    older = page.next_cursor;
    list.take(page.jobs, "older");
    showList();
  } catch (error) {
    showToast({ kind: "error", ...errorWords(error) });
  }
});
document.addEventListener("beacon-cancelled", refresh);
document.addEventListener("beacon-cancel-failed", refresh);
document.addEventListener("beacon-job-changed", (event) => {
  const job = /** @type {CustomEvent<import("../ui/client.js").JobSummary>} */ (event).detail;
  list.update(job);
  if (job.id !== by("job").dataset.job) return;
  const button = by("job-button").firstElementChild;
  if (button) button.setAttribute("status", job.status);
  else by("job-button").append(cancelButton(job.id, job.status));
});
addEventListener("hashchange", () => {
  takeFromAddress();
  show();
});

takeFromAddress();
writeFile();
show();
