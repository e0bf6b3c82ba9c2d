// Who is signed in: a token in the session storage, which ends with the tab.

/** The entry of the session storage that holds the token; the elements are told of it. */
export const TOKEN_KEY = "beacon-token";
const NAME_KEY = "beacon-name";

/** @returns {{token: string, name: string}|null} */
export function signedIn() {
  const token = sessionStorage.getItem(TOKEN_KEY);
  return token === null ? null : { token, name: sessionStorage.getItem(NAME_KEY) ?? "" };
}

/**
 * @param {string} token
 * @param {string} name
 */
export function keep(token, name) {
  sessionStorage.setItem(TOKEN_KEY, token);
  sessionStorage.setItem(NAME_KEY, name);
}

export function forget() {
  sessionStorage.removeItem(TOKEN_KEY);
  sessionStorage.removeItem(NAME_KEY);
}

/** Takes the token out of the address, so that neither the history nor a copied link has it. */
export function takeFromAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const token = parts.get("token");
  if (token === null) return;
  parts.delete("token");
  const rest = parts.toString();
  history.replaceState(null, "", `${location.pathname}${location.search}${rest ? `#${rest}` : ""}`);
  if (token !== "") keep(token, "administrator");
}
