// The networks of figure3.html, in a worker: images in, logits out. Activations are channels last in one float32 memory.
"use strict";
const ROOM = 32768;             // floats: more than any layer's padded input or output
let nets, f, conv, here, there;

const base64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

/** A half precision number from its 16 bits. */
function half(bits) {
  const sign = bits >> 15 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : fraction * 2 ** -24);
}

/** conv.ts in plain JavaScript, for a browser without WebAssembly: two pixels and two units at a time. */
function plain(x, w, b, out, side, c, k, units) {
  const n = side - k + 1, run = k * c;
  for (let u = 0; u < units; u += 2) {
    const bu = b + (u >> 2) * 8 + (u & 2), wu = w + (u >> 2) * k * run * 8 + (u & 2);
    for (let y = 0; y < n; y++) {
      for (let i = 0; i < n; i += 2) {
        const at = Math.min(i, n - 2);
        let a0 = f[bu], a1 = f[bu + 1], a2 = f[bu + 4], a3 = f[bu + 5], b0 = a0, b1 = a1, b2 = a2, b3 = a3, q = wu;
        for (let line = 0; line < k; line++) {
          let p = x + ((y + line) * side + at) * c;
          for (const end = p + run; p < end; p++, q += 8) {
            const v = f[p], z = f[p + c], w0 = f[q], w1 = f[q + 1], w2 = f[q + 4], w3 = f[q + 5];
            a0 += v * w0; a1 += v * w1; a2 += v * w2; a3 += v * w3;
            b0 += z * w0; b1 += z * w1; b2 += z * w2; b3 += z * w3;
          }
        }
        const o = out + (y * n + at) * units + u;
        f[o] = Math.max(a0, a2); f[o + 1] = Math.max(a1, a3);
        f[o + units] = Math.max(b0, b2); f[o + units + 1] = Math.max(b1, b3);
      }
    }
  }
}

/** Weights into memory, the convolution by WebAssembly where the page found that it runs. */
async function start({networks, weights, wasm}) {
  const packed = new Uint16Array(base64(weights).buffer), size = packed.length + 2 * ROOM;
  const memory = wasm && new WebAssembly.Memory({initial: Math.ceil(size * 4 / 65536)});
  const made = wasm && await WebAssembly.instantiate(base64(wasm), {env: {memory}}).catch(() => null);
  if (made) {
    f = new Float32Array(memory.buffer);
    conv = (x, w, b, out, ...shape) => made.instance.exports.conv(4 * x, 4 * w, 4 * b, 4 * out, ...shape);
  } else {
    f = new Float32Array(size);
    conv = plain;
  }
  const value = Float32Array.from({length: 65536}, (_, bits) => half(bits));
  for (let i = 0; i < packed.length; i++) f[i] = value[packed[i]];
  [here, there] = [packed.length, packed.length + ROOM];
  nets = networks;
}

/** `here` into the middle of zeros, `there`. */
function pad(side, c, edge) {
  const wide = side + 2 * edge;
  f.fill(0, there, there + wide * wide * c);
  for (let y = 0; y < side; y++) f.copyWithin(there + ((y + edge) * wide + edge) * c, here + y * side * c, here + (y + 1) * side * c);
  return wide;
}

/** The largest of each window, `here` to `there`; the last windows reach over the edge (ceil mode). */
function pool(side, c, size, stride) {
  const n = Math.ceil((side - size) / stride) + 1;
  f.fill(-Infinity, there, there + n * n * c);
  for (let y = 0; y < n; y++) for (let x = 0; x < n; x++) {
    const o = there + (y * n + x) * c;
    for (let v = y * stride; v < Math.min(y * stride + size, side); v++) for (let h = x * stride; h < Math.min(x * stride + size, side); h++) {
      const p = here + (v * side + h) * c;
      for (let i = 0; i < c; i++) if (f[p + i] > f[o + i]) f[o + i] = f[p + i];
    }
  }
  return n;
}

function dense(l) {
  return Float32Array.from({length: l.out}, (_, j) => {
    let sum = f[l.at + l.in * l.out + j];
    for (let i = 0; i < l.in; i++) sum += f[here + i] * f[l.at + j * l.in + i];
    return sum;
  });
}

/** The logits of one image x (784 floats). */
function run(layers, x) {
  let side = 28;
  f.set(x, here);
  for (const l of layers) {
    if (l.kind === "conv") {
      const wide = pad(side, l.c, l.pad);
      conv(there, l.at, l.at + 2 * l.units * l.c * l.k ** 2, here, wide, l.c, l.k, l.units);
      side = wide - l.k + 1;
    } else if (l.kind === "pool") {
      side = pool(side, l.c, l.size, l.stride);
      [here, there] = [there, here];
    } else return dense(l);
  }
}

let ready;
onmessage = async ({data}) => {
  if (data.weights) return ready = start(data);
  await ready;
  postMessage({id: data.id, logits: data.images.map((x) => data.methods.map((m) => run(nets[m], x)))});
};
