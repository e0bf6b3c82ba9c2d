// Styles as constructed sheets: a Content-Security-Policy of default-src 'self' lets them be.

/**
 * @param {string} text
 * @returns {CSSStyleSheet}
 */
export function sheet(text) {
  const made = new CSSStyleSheet();
  made.replaceSync(text);
  return made;
}

/** Colours and controls that the elements share. A page sets the custom properties to have its own. */
export const base = sheet(`
  :host {
    --_ink: var(--beacon-ink, #1b1f24); --_soft: var(--beacon-soft, #59636e); --_paper: var(--beacon-paper, #ffffff);
    --_box: var(--beacon-box, #f4f6f8); --_line: var(--beacon-line, #d5dce3); --_focus: var(--beacon-focus, #0b62c4);
    --_good: var(--beacon-good, #0a6640); --_bad: var(--beacon-bad, #b3261e); --_wait: var(--beacon-wait, #8a5300);
    --_run: var(--beacon-run, #0b62c4); --_shade: 0 6px 24px rgb(0 0 0 / .18);
    color: var(--_ink); font: inherit;
  }
  @media (prefers-color-scheme: dark) {
    :host {
      --_ink: var(--beacon-ink, #e6edf3); --_soft: var(--beacon-soft, #9da7b1); --_paper: var(--beacon-paper, #12181f);
      --_box: var(--beacon-box, #1a222b); --_line: var(--beacon-line, #2f3a45); --_focus: var(--beacon-focus, #6cb2ff);
      --_good: var(--beacon-good, #58d39b); --_bad: var(--beacon-bad, #ff8a80); --_wait: var(--beacon-wait, #f0b45a);
      --_run: var(--beacon-run, #6cb2ff); --_shade: 0 6px 24px rgb(0 0 0 / .6);
    }
  }
  :host([hidden]), [hidden] { display: none !important; }
  * { box-sizing: border-box; }
  button {
    font: inherit; font-weight: 550; padding: .35em .85em; border-radius: .45em; cursor: pointer;
    color: var(--_ink); background: var(--_paper); border: 1px solid var(--_line);
  }
  button:hover:not(:disabled) { background: var(--_box); }
  button:disabled { cursor: progress; opacity: .65; }
  button.danger { color: var(--_bad); border-color: color-mix(in srgb, var(--_bad) 45%, var(--_line)); }
  button.danger:hover:not(:disabled) { background: color-mix(in srgb, var(--_bad) 10%, var(--_paper)); }
  button.solid { color: var(--_paper); background: var(--_bad); border-color: var(--_bad); }
  button.solid:hover:not(:disabled) { background: color-mix(in srgb, var(--_bad) 85%, var(--_ink)); }
  :focus-visible { outline: 2px solid var(--_focus); outline-offset: 2px; }
`);

/**
 * An element with text and attributes.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @param {Record<string, string>} [attributes]
 * @param {...(Node|string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}
