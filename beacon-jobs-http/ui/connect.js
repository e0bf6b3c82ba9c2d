// How an element finds its server and its credential.
import { BeaconClient } from "./client.js";

/**
 * The client of an element that was given none: `base-url` names the server, and `token-key` the entry of the
 * session storage that holds the token. It is read at each request, so a new sign-in counts at once.
 * @param {HTMLElement} element
 * @returns {BeaconClient}
 */
export function clientOf(element) {
  const key = element.getAttribute("token-key");
  const token = () => (key === null ? null : sessionStorage.getItem(key));
  return new BeaconClient({ baseUrl: element.getAttribute("base-url") ?? "", token });
}
