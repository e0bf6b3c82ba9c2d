// Before a page's own scripts: what goes wrong, what is asked of the server, and a wallet.
window.t = {
  faults: [],
  /** Requests as they were sent, with the status of the answer as soon as it is there. */
  calls: [],
  /** What the wallet was asked and has not answered. */
  asked: [],
  copy: (element) => (element ? element.textContent : null),
  shown: (element) => Boolean(element && element.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: true })),
  host: (id) => document.querySelector(`tr[data-job="${id}"] beacon-cancel-button, beacon-cancel-button[job-id="${id}"]`),
  button: (id) => t.host(id)?.shadowRoot.querySelector("button[part=button]") ?? null,
  dialog: (id) => t.host(id)?.shadowRoot.querySelector("dialog") ?? null,
  toasts: () =>
    [...(document.querySelector("beacon-toasts")?.shadowRoot.querySelectorAll(".toast") ?? [])].map((toast) => ({
      kind: toast.classList.contains("error") ? "error" : "success",
      title: toast.querySelector(".title").textContent,
      text: toast.querySelector(".text").textContent,
      role: toast.parentElement.getAttribute("role"),
    })),
  progress: () => document.querySelector("beacon-job-progress")?.shadowRoot ?? null,
  line: () => t.copy(t.progress()?.querySelector(".line")),
  stops: () => t.copy(t.progress()?.querySelector(".stops")),
  rows: () =>
    [...(t.progress()?.querySelectorAll("tr[data-execution]") ?? [])].map((row) => {
      const [name, region, status, stop, result] = row.cells;
      return {
        id: row.dataset.execution,
        model: name.textContent,
        region: region.textContent,
        status: status.textContent,
        stop: stop.querySelector(".mark").textContent,
        why: stop.querySelector(".why").textContent,
        result: result.textContent,
      };
    }),
  status: (id) => t.copy(document.querySelector(`tr[data-job="${id}"] .status`)),
  cancels: () => t.calls.filter((call) => call.method === "POST" && /\/cancel(\?|$)/.test(call.url)),
  /** All text that a person sees, in shadow trees too. */
  text: (node = document.body) => {
    let text = "";
    for (const child of node.childNodes) {
      if (child.nodeType === Node.TEXT_NODE) text += child.data;
      else if (child.nodeType === Node.ELEMENT_NODE && t.shown(child)) {
        if (child.shadowRoot) text += t.text(child.shadowRoot);
        text += t.text(child);
      }
    }
    return text;
  },
};
addEventListener("securitypolicyviolation", (event) => t.faults.push(`policy: ${event.violatedDirective} ${event.blockedURI}`));
addEventListener("error", (event) => t.faults.push(`error: ${event.message}`));
addEventListener("unhandledrejection", (event) => t.faults.push(`rejection: ${event.reason}`));
const send = window.fetch;
window.fetch = async (url, options = {}) => {
  const call = { url: String(url), method: options.method ?? "GET", headers: { ...options.headers }, status: null };
  t.calls.push(call);
  const answer = await send(url, options);
  call.status = answer.status;
  return answer;
};
window.ethereum = {
  request: ({ method, params }) => new Promise((resolve, reject) => t.asked.push({ method, params, resolve, reject })),
};
