// Signing in with a wallet (EIP-1193): it signs a message as EIP-4361 has it.

/** @typedef {{request: (call: {method: string, params?: unknown[]}) => Promise<any>}} Wallet */

/** @returns {Wallet|undefined} the wallet of this browser */
export function findWallet() {
  return /** @type {{ethereum?: Wallet}} */ (/** @type {unknown} */ (window)).ethereum;
}

/**
 * @param {import("../ui/client.js").BeaconClient} client
 * @param {Wallet} wallet
 * @param {string} publicUrl the address by which the server is known
 * @returns {Promise<{token: string, address: string}>}
 */
export async function signInWith(client, wallet, publicUrl) {
  const [account] = await wallet.request({ method: "eth_requestAccounts" });
  if (typeof account !== "string") throw new Error("The wallet gave no account.");
  const { nonce } = await client.nonce();
  const url = new URL(publicUrl);
  const message = [
    `${url.host} wants you to sign in with your Ethereum account:`,
    account,
    "",
    "Sign in to see and to cancel your jobs.",
    "",
    `URI: ${url.origin}`,
    "Version: 1",
    "Chain ID: 1",
    `Nonce: ${nonce}`,
    `Issued At: ${new Date().toISOString()}`,
  ].join("\n");
  const bytes = new TextEncoder().encode(message);
  const hex = `0x${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  const signature = await wallet.request({ method: "personal_sign", params: [hex, account] });
  return client.signIn(message, signature);
}

/**
 * Why a sign-in did not happen.
 * @param {unknown} error
 * @returns {string|undefined} undefined where it is no matter of the wallet
 */
export function refusalOf(error) {
  // 4001: the user said no.
  return /** @type {{code?: unknown}} */ (error ?? {}).code === 4001 ? "You declined in the wallet." : undefined;
}
