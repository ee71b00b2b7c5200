// The explorer and the theorem of figure3.html. The networks run in worker.js; nothing is loaded, nothing is sent.
"use strict";
const $ = (id) => document.getElementById(id);
const SIDE = 28, PIXELS = SIDE * SIDE, DRAWS = 20;
const facts = JSON.parse($("data").textContent), methods = Object.keys(facts.networks);
const bytes = Uint8Array.from(atob(facts.gallery), (c) => c.charCodeAt(0));
const gallery = facts.classes.map((_, i) => Float32Array.from(bytes.subarray(i * PIXELS, (i + 1) * PIXELS), (v) => v / 255));
const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
const make = (name, attributes, inside = []) => {
  const e = name.includes(":") ? document.createElementNS("http://www.w3.org/2000/svg", name.slice(4)) : document.createElement(name);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  e.append(...[inside].flat());
  return e;
};

// ---------------------------------------------------------------- noise

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
  for (let y = top; y < top + size; y++) seen.fill(0, y * SIDE + left, y * SIDE + left + size);
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

// ---------------------------------------------------------------- the networks, asked one thing at a time

let worker, number = 0;
const waiting = new Map();

/** [[logits by method] by image]. */
function ask(images, methods) {
  return new Promise((done) => {
    waiting.set(++number, done);
    worker.postMessage({id: number, images, methods});
  });
}

function startWorker() {
  const wasm = $("wasm").textContent, code = Uint8Array.from(atob(wasm), (c) => c.charCodeAt(0));
  worker = new Worker(URL.createObjectURL(new Blob([$("worker").textContent], {type: "text/javascript"})));
  worker.onerror = (e) => failed(`The networks could not be started: ${e.message || "this browser refuses a worker here"}.`);
  worker.onmessage = ({data}) => {
    waiting.get(data.id)(data.logits);
    waiting.delete(data.id);
  };
  const able = globalThis.WebAssembly?.validate(code);
  worker.postMessage({networks: facts.networks, weights: $("weights").textContent, wasm: able ? wasm : null});
}

function failed(words) {
  $("failed").textContent = words;
  $("failed").hidden = false;
}

function softmax(logits) {
  const top = Math.max(...logits), e = Array.from(logits, (v) => Math.exp(v - top)), sum = e.reduce((s, v) => s + v);
  return e.map((v) => v / sum);
}
const best = (p) => p.indexOf(Math.max(...p));

// ---------------------------------------------------------------- a drawn digit, as MNIST was made

/** Rows of `from` grey values resized to `to` by Lanczos' filter with antialiasing, in steps of 1/255. */
function resized(rows, from, to) {
  const scale = from / to, wide = Math.max(scale, 1), sinc = (t) => t ? Math.sin(Math.PI * t) / (Math.PI * t) : 1;
  const taps = Array.from({length: to}, (_, i) => {
    const centre = (i + 0.5) * scale, low = Math.max(Math.trunc(centre - 3 * wide + 0.5), 0), high = Math.min(Math.trunc(centre + 3 * wide + 0.5), from);
    const w = Array.from({length: high - low}, (_, j) => (j + low - centre + 0.5) / wide).map((t) => Math.abs(t) < 3 ? sinc(t) * sinc(t / 3) : 0);
    const sum = w.reduce((s, v) => s + v);
    return [low, w.map((v) => v / sum)];
  });
  return rows.map((row) => taps.map(([low, w]) => clamp(Math.round(w.reduce((s, v, j) => s + v * row[low + j], 0)), 0, 255)));
}
const turned = (rows) => rows[0].map((_, i) => rows.map((row) => row[i]));

/** Dark strokes on a white pad as 28 x 28 in [0, 1]: cropped to the ink, the longer side 20 pixels, centred by mass; null while blank. */
function centred(canvas) {
  const n = canvas.width, {data} = canvas.getContext("2d").getImageData(0, 0, n, n);
  let ink = Array.from({length: n}, (_, y) => Array.from({length: n}, (_, x) => 1 - data[4 * (y * n + x)] / 255));
  const top = Math.max(...ink.map((row) => Math.max(...row)));
  if (top < 0.1) return null;
  const span = (rows) => {
    const marked = rows.map((row) => row.some((v) => v / top > 0.2));
    return [marked.indexOf(true), marked.lastIndexOf(true) + 1];
  };
  const [y0, y1] = span(ink), [x0, x1] = span(turned(ink)), scale = 20 / Math.max(y1 - y0, x1 - x0);
  const [h, w] = [y1 - y0, x1 - x0].map((v) => Math.max(1, Math.round(v * scale)));
  ink = ink.slice(y0, y1).map((row) => row.slice(x0, x1).map((v) => Math.floor(v / top * 255)));
  ink = turned(resized(turned(resized(ink, x1 - x0, w)), y1 - y0, h));
  const mass = ink.flat().reduce((s, v) => s + v), weighed = (rows) => rows.reduce((s, row, i) => s + i * row.reduce((a, v) => a + v), 0) / mass;
  const down = clamp(Math.round((SIDE - 1) / 2 - weighed(ink)), 0, SIDE - h), right = clamp(Math.round((SIDE - 1) / 2 - weighed(turned(ink))), 0, SIDE - w);
  const out = new Float32Array(PIXELS);
  ink.forEach((row, y) => out.set(row.map((v) => v / 255), (y + down) * SIDE + right));
  return out;
}

const pad = $("pad"), pen = {x: 140, y: 140, down: false, held: false}, ink = pad.getContext("2d", {willReadFrequently: true});
let drawn = null;

function wipe() {
  ink.fillStyle = "#fff";
  ink.fillRect(0, 0, pad.width, pad.height);
  Object.assign(ink, {lineWidth: 22, lineCap: "round", lineJoin: "round", strokeStyle: "#000"});
  drawn = null;
}

function stroke(x, y) {
  ink.beginPath();
  ink.moveTo(pen.x, pen.y);
  ink.lineTo(x, y);
  ink.stroke();
  drawn = undefined;            // to be centred when the next frame needs it
  moved();
}

function penKeys(e) {
  const step = {ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, -10], ArrowDown: [0, 10]}[e.key];
  if (e.key === " ") {
    pen.down = !pen.down;
    if (pen.down) stroke(pen.x, pen.y);
  } else if (step) {
    const [x, y] = [clamp(pen.x + step[0], 15, 265), clamp(pen.y + step[1], 15, 265)];
    if (pen.down) stroke(x, y);
    [pen.x, pen.y] = [x, y];
  } else return;
  e.preventDefault();
  $("pad-said").textContent = `The pen is ${pen.down ? "down" : "up"} at row ${Math.floor(pen.y / 10) + 1}, column ${Math.floor(pen.x / 10) + 1} of 28.`;
}

function penMoves(e) {
  const at = {x: (e.offsetX + 0.5) * pad.width / pad.clientWidth, y: (e.offsetY + 0.5) * pad.height / pad.clientHeight};
  if (e.type === "pointerdown") {
    pad.setPointerCapture(e.pointerId);
    Object.assign(pen, at);
    pen.held = true;
    stroke(at.x, at.y);
  } else if (pen.held) {
    stroke(at.x, at.y);
    Object.assign(pen, at);
  }
}

// ---------------------------------------------------------------- what the controls say

const chosen = (name) => document.querySelector(`input[name=${name}]:checked`).value;

/** Everything a frame depends on: {x, truth, source, methods, kind, snr, draw, size, top, left}. */
function settings() {
  const own = chosen("source") === "pad", image = +chosen("image");
  if (own && drawn === undefined) drawn = {x: centred(pad)};
  const told = $("truth").value;
  return {
    x: own ? drawn?.x || new Float32Array(PIXELS) : gallery[image], truth: own ? (told === "" ? null : +told) : facts.classes[image],
    source: own ? drawn : image, own, methods: methods.filter((m) => $(`tick-${m}`).checked), kind: $("kind").value, draw,
    ...Object.fromEntries(["snr", "size", "top", "left"].map((id) => [id, +$(id).value])),
  };
}

// ---------------------------------------------------------------- frames: the newest settings only, then luck while nothing moves

let draw = 1, due = false, running = false, cleanOf = {}, tally = {key: ""}, shown = null;

function moved() {
  due = true;
  said();
  if (!running) run();
}

/** One question to the networks at a time; a move takes the next turn, whatever else is left to count. */
async function run() {
  running = true;
  while (due || await luck()) {
    if (due) {
      due = false;
      await frame(settings());
    }
  }
  running = false;
}

async function frame(s) {
  if (cleanOf.source !== s.source) cleanOf = {source: s.source};
  const seen = spoil(s.x, s), unknown = s.methods.filter((m) => !cleanOf[m]);
  const [logits, clean] = [(await ask([seen], s.methods))[0], unknown.length ? (await ask([s.x], unknown))[0] : []];
  unknown.forEach((m, i) => { cleanOf[m] = softmax(clean[i]); });
  const scores = Object.fromEntries(s.methods.map((m, i) => [m, softmax(logits[i])]));
  picture($("seen"), seen, s);
  picture($("clean"), s.x);
  for (const m of methods) card(m, scores[m], cleanOf[m], s.truth);
  words(s, scores);
  shown = {s, scores, frames: (shown?.frames || 0) + 1};
  if (shown.frames === 1) performance.mark("first picture");
  count(s, s.draw, s.methods.map((m) => best(scores[m])));
  chart(s);
}

/** Count the answers of one draw under these settings. */
function count(s, at, answers) {
  const {x, draw, source, ...rest} = s, key = JSON.stringify(rest) + (s.own ? "own" : source);
  if (tally.key !== key || tally.source !== source) tally = {key, source, right: new Map()};
  tally.right.set(at, answers.map((a, i) => a === (s.truth ?? best(cleanOf[s.methods[i]]))));
}

/** Answer one of the last draws that is not counted yet; false when none is left. */
async function luck() {
  if (!shown || shown.s.kind === "none") return false;
  const {s} = shown, at = lastDraws(s).find((d) => !tally.right.has(d));
  if (at === undefined) return false;
  const [logits] = await ask([spoil(s.x, {...s, draw: at})], s.methods);
  if (due) return true;
  count(s, at, logits.map((l) => best(Array.from(l))));
  chart(s);
  return true;
}
const lastDraws = (s) => s.kind === "none" ? [s.draw] : Array.from({length: DRAWS}, (_, i) => s.draw - i);

// ---------------------------------------------------------------- pictures

const shades = new ImageData(SIDE, SIDE);

/** Ink on paper: 0 white, 1 black; the hidden square is framed. */
function picture(canvas, x, {size = 0, top = 0, left = 0} = {}) {
  const context = canvas.getContext("2d");
  x.forEach((v, i) => {
    shades.data.fill(255 * (1 - clamp(v, 0, 1)), 4 * i, 4 * i + 3);
    shades.data[4 * i + 3] = 255;
  });
  context.putImageData(shades, 0, 0);
  if (size) {
    context.strokeStyle = "#0072b2";
    context.strokeRect(Math.min(left, SIDE - size) + 0.5, Math.min(top, SIDE - size) + 0.5, size - 1, size - 1);
  }
}

const bars = (p) => p.map((v, i) => `M${26 * i + 6} 54v${(-50 * v).toFixed(1)}h18V54z`).join("");
const change = (v) => Math.abs(v) < 0.005 ? "as on the clean digit" : `${v < 0 ? "−" : "+"}${Math.abs(v).toFixed(2)} from clean`;

function card(method, p, clean, truth) {
  if (!p) return;
  const e = $(`card-${method}`), part = (name) => e.querySelector(`.${name}`);
  const top = best(p), known = truth !== null, right = top === truth, said = `says ${top} at ${p[top].toFixed(2)}`;
  const mark = known ? (right ? "right" : "wrong") : "";
  const rest = known ? `true class ${truth}: ${p[truth].toFixed(2)}, ${change(p[truth] - clean[truth])}` : `on the clean digit: ${best(clean)} at ${clean[best(clean)].toFixed(2)}`;
  part("said").replaceChildren(said, known ? " · " : "", make("b", {class: right ? "yes" : "no"}, mark), make("br", {}), rest);
  part("now").setAttribute("d", bars(p));
  part("before").setAttribute("d", bars(clean));
  part("true").setAttribute("d", known ? `M${26 * truth + 15} 70l6 10h-12z` : "");
  part("bars").setAttribute("aria-label", `${facts.labels[method]} ${said} ${mark}; ${rest}; all scores: ${p.map((v, i) => `${i} ${v.toFixed(2)}`).join(", ")}`);
}

let quiet = 0;
function words(s, scores) {
  const what = s.own ? (s.source ? "your digit" : "nothing drawn yet") : `a ${s.truth}`, kind = {gaussian: "white noise", poisson: "Poisson noise", none: "no noise"}[s.kind];
  const lines = [what, kind, ...(s.kind === "none" ? [] : [`${s.snr} dB`]), ...(s.size ? [`${s.size} × ${s.size} hidden`] : [])], told = `${lines.join(", ")}.`;
  $("note").replaceChildren(...lines.map((line) => make("span", {}, line)));
  $("seen").setAttribute("aria-label", `what the networks see: ${told}`);
  $("seen").classList.toggle("block", s.size > 0);
  clearTimeout(quiet);
  quiet = setTimeout(() => {
    const answers = Object.entries(scores).map(([m, p]) => `${facts.labels[m]} says ${best(p)} at ${p[best(p)].toFixed(2)}`);
    $("status").textContent = `${told} ${answers.join("; ")}.`;
  }, 700);
}

/** The last draws as squares, counted, beside the accuracy on the whole test set where there is a row. */
function chart(s) {
  const draws = lastDraws(s).reverse(), noise = s.kind !== "none";
  const test = s.size ? (noise ? "" : `occlusion ${s.size}`) : noise ? `${s.kind} ${s.snr}` : "clean 0", rows = s.methods.some((m) => test in (facts.tests[m] || {}));
  $("luck-name").textContent = `${noise ? `The last ${DRAWS} draws of noise on this digit, at these settings` : "No noise: one draw tells all"}; last column: accuracy ${
    rows ? "on all MNIST test images at this level" + (s.size ? ", the square anywhere" : "") : "on the test set, not measured at these settings"}.`;
  $("luck-count").textContent = s.truth === null ? "as clean" : "right";
  for (const m of methods) {
    const row = $(`luck-${m}`), i = s.methods.indexOf(m);
    if (i < 0) continue;
    const known = draws.map((d) => tally.right.get(d)?.[i]), hits = known.filter((v) => v === true).length, of = known.filter((v) => v !== undefined).length;
    const squares = (wanted, edge) => known.map((v, k) => v === wanted ? `M${k * 8 + 1 + edge} ${2 + edge}h${6 - 2 * edge}v${10 - 2 * edge}h${2 * edge - 6}z` : "").join("");
    row.querySelector(".hit").setAttribute("d", squares(true, 0));
    row.querySelector(".miss").setAttribute("d", squares(false, 0.5));
    row.querySelector(".count").textContent = `${hits} of ${of}`;
    row.querySelector(".test").textContent = facts.tests[m]?.[test] ?? "–";
  }
}

/** Readings beside the sliders and their words for screen readers; gallery or pad, networks chosen. */
function said() {
  for (const m of methods) $(`card-${m}`).hidden = $(`luck-${m}`).hidden = !$(`tick-${m}`).checked;
  [$("gallery").hidden, $("drawing").hidden] = [chosen("source") === "pad", chosen("source") !== "pad"];
  const units = {snr: (v) => `${v} dB`, size: (v) => v ? `${v} px` : "none", top: (v) => v + 1, left: (v) => v + 1};
  for (const [id, words] of Object.entries(units)) {
    $(`${id}-said`).textContent = words(+$(id).value);
    $(id).setAttribute("aria-valuetext", id === "snr" ? `${$(id).value} decibels, ratio ${(10 ** ($(id).value / 10)).toFixed(2)}` : words(+$(id).value));
  }
  $("draw").textContent = `draw ${draw}`;
  $("snr").disabled = $("again").disabled = $("kind").value === "none";
}

// ---------------------------------------------------------------- building and listening

function build() {
  const classes = [...Array(10).keys()];
  gallery.forEach((x, i) => {
    const canvas = make("canvas", {width: SIDE, height: SIDE, "aria-hidden": true}), of = i % 4 + 1;
    const input = make("input", {type: "radio", name: "image", value: i, "aria-label": `a ${facts.classes[i]}, image ${of} of 4`});
    input.checked = i === 5;       // the first about which the networks shown disagree at 1 dB in draw 1
    picture(canvas, x);
    $("gallery").append(make("label", {}, [input, canvas]));
  });
  for (const m of methods) {
    const text = classes.map((c) => make("svg:text", {x: 26 * c + 15, y: 67, "text-anchor": "middle"}, String(c)));
    const svg = make("svg:svg", {class: "bars", role: "img", viewBox: "0 0 268 82"},
      [make("svg:path", {class: "now"}), make("svg:path", {class: "before"}), ...text, make("svg:path", {class: "true"})]);
    $("cards").append(make("article", {class: `card ${m}`, id: `card-${m}`, "aria-labelledby": `name-${m}`},
      [make("h3", {id: `name-${m}`}, [make("span", {class: "key"}), facts.labels[m]]), make("p", {class: "said"}), svg]));
    const strip = make("svg:svg", {class: "strip", viewBox: `0 0 ${8 * DRAWS + 4} 14`, "aria-hidden": true}, [make("svg:path", {class: "hit"}), make("svg:path", {class: "miss"})]);
    $("luck").append(make("tr", {class: m, id: `luck-${m}`}, [make("th", {scope: "row"}, [make("span", {class: "key"}), facts.labels[m]]),
      make("td", {}, strip), make("td", {class: "count"}), make("td", {class: "test"})]));
    const tick = make("input", {type: "checkbox", id: `tick-${m}`});
    tick.checked = facts.shown.includes(m);
    $("ticks").append(make("label", {class: `tick ${m}`}, [tick, make("span", {}, [make("span", {class: "key"}), facts.labels[m]])]));
  }
  classes.forEach((c) => $("truth").append(make("option", {value: c}, String(c))));
  wipe();
}

/** Drag the hidden square on the picture; where there is none, a touch sets one down. */
function block(e) {
  if (e.type === "pointerdown") $("seen").held = true;
  if (!$("seen").held) return;
  const size = +$("size").value, at = (v) => clamp(Math.round(v / $("seen").clientWidth * SIDE - (size || 8) / 2), 0, SIDE - (size || 8));
  if (size || e.type === "pointerup") {
    if (!size) $("size").value = 8;
    else $("seen").setPointerCapture(e.pointerId);
    [$("top").value, $("left").value] = [at(e.offsetY), at(e.offsetX)];
    moved();
  }
  if (e.type !== "pointerdown" && e.type !== "pointermove") $("seen").held = false;
}

function listen() {
  for (const id of ["snr", "kind", "size", "top", "left", "truth", "gallery", "ticks"]) $(id).addEventListener("input", moved);
  $("again").addEventListener("click", () => { draw += 1; moved(); });
  for (const input of document.querySelectorAll("input[name=source]")) input.addEventListener("input", moved);
  $("wipe").addEventListener("click", () => { wipe(); moved(); });
  pad.addEventListener("keydown", penKeys);
  for (const type of ["pointerdown", "pointermove"]) pad.addEventListener(type, penMoves);
  for (const type of ["pointerup", "pointercancel"]) pad.addEventListener(type, () => { pen.held = false; });
  for (const type of ["pointerdown", "pointermove", "pointerup"]) $("seen").addEventListener(type, block);
  $("seen").addEventListener("pointercancel", () => { $("seen").held = false; });
}

// ---------------------------------------------------------------- Theorem 1 on a line

const sigmoid = (v) => 1 / (1 + Math.exp(-v)), relu = (v) => Math.max(v, 0);
const CASES = [     // scores along the push d for a student of logit u at x; G: slope; sure: certified radius; ratio: where Eq. 7 begins
  {name: "CE1: the converse", reach: 4, G: 0.25, f_S: (d, u) => sigmoid(u + d), f_T: () => 0.5, radius: (m) => 4 * m,
    words: "The teacher never makes up its mind; the certified radius is the ratio m / G itself."},
  {name: "CE2: no flip at all", reach: 6, G: 0.25, f_S: (d, u) => sigmoid(u + d), f_T: sigmoid, radius: (m) => 4 * m,
    words: "The same curve, shifted: in logits the lead is the same everywhere, and nothing ever flips."},
  {name: "CE4: min(R, ·) dropped", reach: 2, G: 0, f_S: (d, u) => sigmoid(u - 4 * relu(d - 1)), f_T: () => 0.5, radius: () => Infinity, cap: 1,
    words: "The gap on the ball of radius R = 1 is 0, so the ratio is infinite: without min(R, ·) it would promise that nothing ever flips."},
  {name: "CE5: the wrong ball", reach: 0.05, G: 0, f_S: (d, u) => sigmoid(u - 4 * relu(64 * d - 1)), f_T: () => 0.5, radius: () => Infinity, cap: 1 / 64,
    words: "All 64 pixels move by δ, so the ball of radius 1 must be measured like the push: it ends at 1/64."},
];

function theorem() {
  const c = CASES[$("case").value], u = +$("lead").value, d = +$("delta").value * c.reach, m = c.f_S(0, u) - c.f_T(0);
  const ratio = c.radius(m), sure = Math.min(ratio, c.cap ?? Infinity), h = c.f_S(d, u) - c.f_T(d);
  const X = (v) => 48 + (v + c.reach) / (2 * c.reach) * 580, Y = (v) => 270 - 250 * v, digits = c.reach < 1 ? 4 : 2;
  const ticks = Array.from({length: 201}, (_, i) => (i / 100 - 1) * c.reach), line = (f, part = ticks) => part.map((v, i) => `${i ? "L" : "M"}${X(v).toFixed(1)} ${Y(f(v)).toFixed(1)}`).join("");
  const band = (from, to, name) => to > from ? [make("svg:rect", {class: name, x: X(from), y: 20, width: X(to) - X(from), height: 250})] : [];
  const inside = [...ticks.filter((v) => Math.abs(v) < sure), ...[-sure, sure].filter((v) => Math.abs(v) <= c.reach)].sort((a, b) => a - b);
  const label = (x, y, text, anchor = "middle") => make("svg:text", {x, y, "text-anchor": anchor}, text);
  $("plot").replaceChildren(
    ...band(Math.max(-sure, -c.reach), Math.min(sure, c.reach), "sure"), ...band(-c.reach, -Math.min(ratio, c.reach), "claimed"), ...band(Math.min(ratio, c.reach), c.reach, "claimed"),
    make("svg:path", {class: "floor", d: line((v) => c.f_T(v) + m - c.G * Math.abs(v), inside)}),
    make("svg:path", {class: "teacher", d: line(c.f_T)}), make("svg:path", {class: "student", d: line((v) => c.f_S(v, u))}),
    make("svg:path", {class: "at", d: `M${X(d)} 20V270`}),
    ...[-1, -0.5, 0, 0.5, 1].map((v) => label(X(v * c.reach), 292, String(v * c.reach))), ...[0, 0.5, 1].map((v) => label(42, Y(v) + 4, String(v), "end")),
    label(X(d), 15, `δ = ${d.toFixed(digits)}`));
  const leads = h > 0 ? "the student leads" : h < 0 ? "the teacher leads" : "a draw";
  const printed = Math.abs(d) < ratio ? "says nothing here" : `says that the teacher leads: ${h < 0 ? "right" : "WRONG"}`;
  const mended = Math.abs(d) < sure ? "guarantees the student: right" : "says nothing here";
  const state = `δ = ${d.toFixed(digits)}: student ${c.f_S(d, u).toFixed(3)}, teacher ${c.f_T(d).toFixed(3)}, ${leads} by ${Math.abs(h).toFixed(3)}.`;
  const known = `m = ${m.toFixed(3)}, G = ${c.G}, ratio m/G ${Number.isFinite(ratio) ? ratio.toFixed(3) : "infinite"}, certified below ${sure.toFixed(3)}.`;
  $("theorem-said").replaceChildren(make("b", {}, state), ` Eq. 7 as printed ${printed}; the corrected theorem ${mended}. ${known} ${c.words}`);
  $("plot").setAttribute("aria-label", `${c.name}: ${state} ${known}`);
  $("delta-said").textContent = d.toFixed(digits);
  $("lead-said").textContent = u.toFixed(2);
  $("delta").setAttribute("aria-valuetext", `${d.toFixed(digits)}, ${leads} by ${Math.abs(h).toFixed(3)}`);
}

function startTheorem() {
  CASES.forEach((c, i) => $("case").append(make("option", {value: i}, c.name)));
  for (const id of ["case", "delta", "lead"]) $(id).addEventListener("input", theorem);
  const drag = (e) => {
    if (!e.buttons) return;
    $("delta").value = clamp((e.offsetX / $("plot").clientWidth * 640 - 48) / 290 - 1, -1, 1);
    theorem();
  };
  for (const type of ["pointerdown", "pointermove"]) $("plot").addEventListener(type, drag);
  theorem();
}

build();
listen();
startTheorem();
try {
  startWorker();
  moved();
} catch (error) {
  failed(`The networks could not be started: ${error.message}.`);
}
