// What the page and its worker both say: joined in front of each program.
"use strict";
const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
const base64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const best = (p) => p.indexOf(Math.max(...p));

function softmax(a) {
  const top = Math.max(...a), e = Array.from(a, (v) => Math.exp(v - top)), sum = e.reduce((s, v) => s + v);
  return e.map((v) => v / sum);
}
