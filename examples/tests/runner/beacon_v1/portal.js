// What a portal does to sign: JSON.stringify with sorted members, by Ed25519. Reads a list of specs on
// stdin, writes for each the signed text, the signature and the key. The argument is the key's seed.
const crypto = require('crypto');
const sorted = value =>
  Array.isArray(value) ? value.map(sorted)
  : value === null || typeof value !== 'object' ? value
  : Object.keys(value).sort().reduce((to, name) => { to[name] = sorted(value[name]); return to; }, {});
const head = Buffer.from('302e020100300506032b657004220420', 'hex');
const seed = Buffer.from(process.argv[2], 'hex');
const key = crypto.createPrivateKey({ key: Buffer.concat([head, seed]), format: 'der', type: 'pkcs8' });
const jwk = crypto.createPublicKey(key).export({ format: 'jwk' });
const publicKey = Buffer.from(jwk.x, 'base64url').toString('base64');
const specs = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(specs.map(spec => {
  const signed = { ...spec };
  for (const name of ['id', 'created_at', 'signature', 'public_key']) delete signed[name];
  const text = JSON.stringify(sorted(signed));
  return { text, signature: crypto.sign(null, Buffer.from(text), key).toString('base64'), public_key: publicKey };
})));
