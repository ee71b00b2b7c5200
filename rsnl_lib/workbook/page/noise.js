// Shared tools, and the noise of the pages. The scripts are joined in the order of pack.py: nothing is loaded, nothing is sent.
const $ = (id) => document.getElementById(id);
const facts = JSON.parse($("data").textContent), methods = Object.keys(facts.networks), [SIDE, CHANNELS] = facts.shape;
const PIXELS = SIDE * SIDE * CHANNELS, DRAWS = 20;      // images: PIXELS numbers, channels last
const images = (values, scale) => facts.classes.map((_, i) => Float32Array.from(values.subarray(i * PIXELS, (i + 1) * PIXELS), (v) => v / scale));
const gallery = facts.seen ? images(new Float32Array(base64(facts.seen).buffer), 1) : images(base64(facts.gallery), 255);     // what a network gets
const photos = facts.seen && images(base64(facts.gallery), 255);
const make = (name, attributes, inside = []) => {
  const e = name.includes(":") ? document.createElementNS("http://www.w3.org/2000/svg", name.slice(4)) : document.createElement(name);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  e.append(...[inside].flat());
  return e;
};

/** Uniform numbers in (0, 1) from a seed: the generator sfc32, its first rounds dropped. */
function uniform(seed) {
  let a = 0x9e3779b9 ^ seed, b = 0x243f6a88, c = 0xb7e15162, count = 1;
  const next = () => {
    const t = (a + b + count++) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + t) | 0;
    return ((t >>> 0) + 0.5) / 4294967296;
  };
  for (let i = 0; i < 20; i++) next();
  return next;
}

/** Standard normal noise for one image; it depends on the draw alone (Box and Muller). */
const pattern = kept(64, (draw) => {
  const u = uniform(draw), z = new Float32Array(PIXELS);
  for (let i = 0; i < PIXELS; i += 2) {
    const r = Math.sqrt(-2 * Math.log(u())), angle = 2 * Math.PI * u();
    z[i] = r * Math.cos(angle);
    z[i + 1] = r * Math.sin(angle);
  }
  return z;
});

/** x with noise of a kind at snr dB, then a square of zeros: power is the mean square of x, nothing is centred or clipped. */
function spoil(x, {kind, snr, draw, size, top, left}) {
  const power = x.reduce((s, v) => s + v * v, 0) / PIXELS / 10 ** (snr / 10), mean = x.reduce((s, v) => s + Math.abs(v), 0) / PIXELS || 1;
  const z = pattern(draw), spread = {none: () => 0, gaussian: () => power, poisson: (v) => power * Math.abs(v) / mean}[kind];
  const seen = x.map((v, i) => v + z[i] * Math.sqrt(spread(v)));
  [top, left] = [top, left].map((at) => Math.min(at, SIDE - size));
  for (let y = top; y < top + size; y++) seen.fill(0, (y * SIDE + left) * CHANNELS, (y * SIDE + left + size) * CHANNELS);
  return seen;
}

/** make(key), the last few answers remembered. */
function kept(most, make) {
  const known = new Map();
  return (key) => {
    if (!known.has(key)) known.set(key, make(key));
    if (known.size > most) known.delete(known.keys().next().value);
    return known.get(key);
  };
}
