// The networks of a page, in a worker: images in, logits, input gradients or attacked images out.
// Activations are channels last in one float32 memory: weights, two rooms for activations, a room for marks.
const ROOM = 32768;             // floats: more than any layer's padded input or output
let SIDE, PIXELS;               // of an image; PIXELS counts its channels
let nets, f, conv, adjoint, here, there, marksAt;

/** A half precision number from its 16 bits. */
function half(bits) {
  const sign = bits >> 15 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : fraction * 2 ** -24);
}

/** conv of conv.ts in plain JavaScript, for a browser without WebAssembly: two pixels and two units at a time. */
function plain(x, w, b, out, marks, side, c, k, units) {
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
        const step = (y * n + at) * units + u, o = out + step, m = marks + step;
        f[o] = Math.max(a0, a2); f[o + 1] = Math.max(a1, a3);
        f[o + units] = Math.max(b0, b2); f[o + units + 1] = Math.max(b1, b3);
        if (!marks) continue;
        f[m] = share(a0, a2); f[m + 1] = share(a1, a3);
        f[m + units] = share(b0, b2); f[m + units + 1] = share(b1, b3);
      }
    }
  }
}

const share = (first, second) => ((first >= second) + (first > second)) / 2;

/** adjoint of conv.ts in plain JavaScript. */
function plainAdjoint(g, marks, w, into, side, c, k, units) {
  const n = side - k + 1, run = k * c;
  for (let y = 0; y < n; y++) for (let i = 0; i < n; i++) for (let u = 0; u < units; u++, g++, marks++) {
    if (!f[g]) continue;
    const first = f[g] * f[marks], second = f[g] - first;
    let q = w + (u >> 2) * k * run * 8 + (u & 3);
    for (let line = 0; line < k; line++) {
      let p = into + ((y + line) * side + i) * c;
      for (const end = p + run; p < end; p++, q += 8) f[p] += first * f[q] + second * f[q + 4];
    }
  }
}

/** Weights into memory, the convolution by WebAssembly where the page found that it runs. */
async function start({networks, shape: [side, channels], weights, wasm}) {
  [SIDE, PIXELS] = [side, side * side * channels];
  const packed = new Uint16Array(base64(weights).buffer), size = packed.length + 2 * ROOM + Math.max(...Object.values(networks).map(marksOf));
  const memory = wasm && new WebAssembly.Memory({initial: Math.ceil(size * 4 / 65536)});
  const made = wasm && await WebAssembly.instantiate(base64(wasm), {env: {memory}}).catch(() => null);
  if (made) {
    f = new Float32Array(memory.buffer);
    const {conv: forward, adjoint: backward} = made.instance.exports;
    conv = (x, w, b, out, marks, ...shape) => forward(4 * x, 4 * w, 4 * b, 4 * out, 4 * marks, ...shape);
    adjoint = (g, marks, w, into, ...shape) => backward(4 * g, 4 * marks, 4 * w, 4 * into, ...shape);
  } else {
    f = new Float32Array(size);
    [conv, adjoint] = [plain, plainAdjoint];
  }
  const value = Float32Array.from({length: 65536}, (_, bits) => half(bits));
  for (let i = 0; i < packed.length; i++) f[i] = value[packed[i]];
  [here, there, marksAt] = [0, 1, 2].map((i) => packed.length + i * ROOM);
  nets = networks;
}

/** How many marks, one for each output of a convolution, a network needs. */
function marksOf(layers) {
  let side = SIDE, count = 0;
  for (const l of layers) {
    if (l.kind === "conv") {
      side += 2 * l.pad - l.k + 1;
      count += side * side * l.units;
    } else if (l.kind === "pool") side = pooled(side, l);
  }
  return count;
}
const pooled = (side, l) => Math.ceil((side - l.size) / l.stride) + 1;

/** `here` into the middle of zeros, `there`. */
function pad(side, c, edge) {
  const wide = side + 2 * edge;
  f.fill(0, there, there + wide * wide * c);
  for (let y = 0; y < side; y++) f.copyWithin(there + ((y + edge) * wide + edge) * c, here + y * side * c, here + (y + 1) * side * c);
  return wide;
}

/** The largest of each window, `here` to `there`; the last windows reach over the edge (ceil mode). `from` gets where each lay. */
function pool(side, {c, size, stride}, from) {
  const n = pooled(side, {size, stride});
  f.fill(-Infinity, there, there + n * n * c);
  for (let y = 0; y < n; y++) for (let x = 0; x < n; x++) {
    const o = (y * n + x) * c;
    for (let v = y * stride; v < Math.min(y * stride + size, side); v++) for (let h = x * stride; h < Math.min(x * stride + size, side); h++) {
      const p = (v * side + h) * c;
      for (let i = 0; i < c; i++) if (f[here + p + i] > f[there + o + i]) {
        f[there + o + i] = f[here + p + i];
        if (from) from[o + i] = p + i;
      }
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

const turn = () => { [here, there] = [there, here]; };
const shape = (l, wide) => [wide, l.c, l.k, l.units];

/** The logits of one image x (its pixels, channels last); a `tape` gets what the way back needs. */
function run(layers, x, tape) {
  let side = SIDE, marks = marksAt;
  f.set(x, here);
  for (const l of layers) {
    if (l.kind === "conv") {
      const wide = pad(side, l.c, l.pad);
      conv(there, l.at, l.at + 2 * l.units * l.c * l.k ** 2, here, tape ? marks : 0, ...shape(l, wide));
      side = wide - l.k + 1;
      tape?.push({wide, marks});
      marks += side * side * l.units;
    } else if (l.kind === "pool") {
      const from = tape && new Int32Array(pooled(side, l) ** 2 * l.c);
      tape?.push({side, from});
      side = pool(side, l, from);
      turn();
    } else {
      const a = dense(l), n = l.out / 2;
      if (!l.maxout) return a;
      for (let j = 0; j < n; j++) f[here + j] = Math.max(a[j], a[n + j]);
      tape?.push({first: a.subarray(0, n).map((v, j) => share(v, a[n + j]))});
    }
  }
}

/** What flows back into a dense maxout at `here`, by the share of its first map. */
function spread(first) {
  const g = f.slice(here, here + first.length);
  return [...g.map((v, j) => v * first[j]), ...g.map((v, j) => v * (1 - first[j]))];
}

/** The gradient (as many floats as x) of sum g_j a_j over the logits a, along a tape. */
function back(layers, g, tape) {
  for (const [i, l] of [...layers.entries()].reverse()) {
    const {wide, marks, side, from, first} = tape[i] || {};
    if (l.kind === "dense") {
      if (l.maxout) g = spread(first);
      f.fill(0, here, here + l.in);
      g.forEach((v, j) => { for (let i = 0; i < l.in; i++) f[here + i] += v * f[l.at + j * l.in + i]; });
    } else if (l.kind === "pool") {
      f.fill(0, there, there + side * side * l.c);
      from.forEach((p, o) => { f[there + p] += f[here + o]; });
      turn();
    } else {
      f.fill(0, there, there + wide * wide * l.c);
      adjoint(here, marks, l.at, there, ...shape(l, wide));
      const inner = wide - 2 * l.pad, row = inner * l.c;
      for (let y = 0; y < inner; y++) {
        const p = there + ((y + l.pad) * wide + l.pad) * l.c;
        f.copyWithin(here + y * row, p, p + row);
      }
    }
  }
  return f.slice(here, here + PIXELS);
}

/** The input gradient of the true class's score f_y = softmax(a)_y. */
function slope(layers, x, y) {
  const tape = [], p = softmax(run(layers, x, tape));
  return back(layers, p.map((v, j) => p[y] * ((j === y) - v)), tape);
}

/** x after `steps` steps up the cross-entropy to y, each epsilon / 4 a pixel by the gradient's sign, kept within epsilon of x and in [0, 1]. */
function attacked(layers, x, y, epsilon, steps) {
  const z = Float32Array.from(x);
  for (let i = 0; i < steps; i++) {
    const tape = [], p = softmax(run(layers, z, tape)), g = back(layers, p.map((v, j) => v - (j === y)), tape);
    g.forEach((v, k) => { z[k] = clamp(x[k] + clamp(z[k] + epsilon / 4 * Math.sign(v) - x[k], -epsilon, epsilon), 0, 1); });
  }
  return z;
}

const TASKS = {
  logits: ({images, methods}) => images.map((x) => methods.map((m) => run(nets[m], x))),
  slopes: ({images: [x], methods, y}) => methods.map((m) => slope(nets[m], x, y)),
  attack: ({images: [x], methods: [m], y, epsilon, steps}) => attacked(nets[m], x, y, epsilon, steps),
};
let ready;
onmessage = async ({data}) => {
  if (data.weights) return ready = start(data);
  await ready;
  postMessage({id: data.id, answer: TASKS[data.task](data)});
};
