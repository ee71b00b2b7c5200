// The explorer of figure3.html: what the controls say, frames, cards, reasons, guesses, luck.

// ---------------------------------------------------------------- what the controls say

const chosen = (name) => document.querySelector(`input[name=${name}]:checked`).value;
const SLIDERS = ["snr", "size", "top", "left", "epsilon"];

/** Everything a frame depends on: {x, truth, source, own, blank, methods, kind, snr, draw, size, top, left, attack, epsilon, why, guess}. */
function settings() {
  const own = chosen("source") === "pad", image = +chosen("image");
  if (own && drawn === undefined) drawn = {x: centred(pad)};
  const told = $("truth").value, x = own ? drawn?.x : gallery[image];
  return {
    x: x || new Float32Array(PIXELS), blank: !x, truth: own ? (told === "" ? null : +told) : facts.classes[image], source: own ? drawn : image, own,
    methods: methods.filter((m) => $(`tick-${m}`).checked), kind: $("kind").value, draw, attack: $("attacked").value, why: ["why-a", "why-b"].map((id) => $(id).value),
    guess: $("guess").checked, ...Object.fromEntries(SLIDERS.map((id) => [id, +$(id).value])),
  };
}

/** The state of the controls, as address.js writes it. */
function state() {
  const {own, truth, methods, kind, snr, draw, size, top, left, attack, epsilon, why, guess} = settings();
  return {digit: +chosen("image"), strokes: own ? strokes : null, is: own ? truth : null, noise: kind, snr, draw, size, top, left, nets: methods, attack, epsilon, why, guess};
}

/** Set all controls to a state. */
function setTo(t) {
  const pick = (name, value) => { document.querySelector(`input[name=${name}][value="${value}"]`).checked = true; };
  pick("source", t.strokes ? "pad" : "gallery");
  pick("image", t.digit);
  redraw(t.strokes || []);
  for (const id of SLIDERS) $(id).value = t[id];
  [$("truth").value, $("kind").value, $("attacked").value, $("guess").checked] = [t.is ?? "", t.noise, t.attack, t.guess];
  [$("why-a").value, $("why-b").value] = t.why;
  for (const m of methods) $(`tick-${m}`).checked = t.nets.includes(m);
  draw = t.draw;
}

/** Take the state from the address. */
function arrive() {
  if (["#explorer", "#theorem", "#made"].includes(location.hash)) return;
  const [t, odd] = stateOf(location.hash);
  setTo(t);
  $("odd").textContent = odd.length ? `This address was understood in part: ${odd.join("; ")}. The rest is as at the start.` : "";
  moved();
}

/** A change is finished: it becomes an address that the back button can leave. */
function commit() {
  const now = addressOf(state());
  if (now !== (location.hash || addressOf(START))) history.pushState(null, "", now);
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
  while (due || await reasons() || await luck()) {
    if (due) {
      due = false;
      await frame(settings());
    }
  }
  running = false;
}

let attackOf = {};

/** The digit before noise and square: attacked, where an attack is asked for. */
async function base(s) {
  if (!s.attack || !s.epsilon || s.blank) return s.x;
  const key = `${s.attack} ${s.epsilon} ${s.truth}`;
  if (attackOf.source !== s.source || attackOf.key !== key) {
    const y = s.truth ?? best((await ask([s.x], [s.attack]))[0][0]);
    attackOf = {source: s.source, key, x: await work("attack", {images: [s.x], methods: [s.attack], y, epsilon: s.epsilon, steps: 10})};
  }
  return attackOf.x;
}

async function frame(s) {
  if (cleanOf.source !== s.source) cleanOf = {source: s.source};
  s.base = await base(s);
  const seen = spoil(s.base, s), asked = [...new Set([...s.methods, ...s.why])], unknown = asked.filter((m) => !cleanOf[m]), none = s.blank ? [] : null;
  const logits = none || (await ask([seen], asked))[0], clean = none || (unknown.length ? (await ask([s.x], unknown))[0] : []);
  if (!s.blank) unknown.forEach((m, i) => { cleanOf[m] = softmax(clean[i]); });
  const scores = Object.fromEntries(asked.map((m, i) => [m, logits[i] && softmax(logits[i])]));
  picture($("seen"), seen, s);
  picture($("clean"), s.x);
  const hidden = guessing(s);
  for (const m of s.methods) card(m, scores[m], cleanOf[m], s.truth, hidden);
  words(s, scores, hidden);
  shown = {s, seen, scores, frames: (shown?.frames || 0) + 1, reasons: s.blank};
  if (shown.frames === 1) performance.mark("first picture");
  if (!s.blank) count(s, s.draw, s.methods.map((m) => best(scores[m])));
  chart(s);
}

/** Count the answers of one draw under these settings. */
function count(s, at, answers) {
  const {x, base, draw, source, why, guess, ...rest} = s, key = JSON.stringify(rest) + (s.own ? "own" : source);
  if (tally.key !== key || tally.source !== source) tally = {key, source, right: new Map()};
  tally.right.set(at, answers.map((a, i) => a === (s.truth ?? best(cleanOf[s.methods[i]]))));
}

/** Answer one of the last draws that is not counted yet; false when none is left. */
async function luck() {
  if (!shown || shown.s.kind === "none" || shown.s.blank) return false;
  const {s} = shown, at = lastDraws(s).find((d) => !tally.right.has(d));
  if (at === undefined) return false;
  const [logits] = await ask([spoil(s.base, {...s, draw: at})], s.methods);
  if (due) return true;
  count(s, at, logits.map((l) => best(Array.from(l))));
  chart(s);
  return true;
}
const lastDraws = (s) => s.kind === "none" ? [s.draw] : Array.from({length: DRAWS}, (_, i) => s.draw - i);

// ---------------------------------------------------------------- pictures and cards

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

const bars = (p) => p.map((v, i) => `M${26 * i + 6} 42v${(-38 * v).toFixed(1)}h18V42z`).join("");

const change = (v) => `${v <= -0.005 ? "-" : "+"}${Math.abs(v).toFixed(2)}`;

/** One network's answer, in the words of the notebooks' explorer: its class, whether that is right, its scores; nothing of it while it is to be guessed, or nothing is drawn. */
function card(method, p, clean, truth, hidden) {
  const e = $(`card-${method}`), part = (name) => e.querySelector(`.${name}`), name = facts.labels[method];
  part("bet").hidden = !hidden;
  if (hidden || !p) {
    part("said").textContent = hidden ? "" : "nothing drawn yet";
    part("rest").textContent = "";
    for (const path of ["now", "before", "true"]) part(path).setAttribute("d", "");
    part("bars").setAttribute("aria-label", `${name}: ${hidden ? "hidden until you look" : "nothing drawn yet"}`);
    return;
  }
  const top = best(p), known = truth !== null, right = top === truth, said = `says ${top} at ${p[top].toFixed(2)}`;
  const mark = known ? (right ? "right" : "wrong") : "";
  const rest = known ? `true class ${truth}: ${p[truth].toFixed(2)} (${change(p[truth] - clean[truth])} from clean)` : `clean: ${best(clean)} at ${clean[best(clean)].toFixed(2)}`;
  part("said").replaceChildren(said, known ? " · " : "", make("b", {class: right ? "yes" : "no"}, mark));
  part("rest").textContent = rest;
  part("now").setAttribute("d", bars(p));
  part("before").setAttribute("d", bars(clean));
  part("true").setAttribute("d", known ? `M${26 * truth + 15} 58l5 8h-10z` : "");
  part("bars").setAttribute("aria-label", `${name} ${said} ${mark}; ${rest}; all scores: ${p.map((v, i) => `${i} ${v.toFixed(2)}`).join(", ")}`);
}

let quiet = 0;
function words(s, scores, hidden) {
  const what = s.own ? (s.blank ? "nothing drawn yet" : "your digit") : `a ${s.truth}`, kind = {gaussian: "white noise", poisson: "Poisson noise", none: "no noise"}[s.kind];
  const attack = s.attack && s.epsilon ? [`attack on ${facts.labels[s.attack]}, ε = ${s.epsilon.toFixed(2)}`] : [];
  const lines = [what, ...attack, kind, ...(s.kind === "none" ? [] : [`${s.snr} dB`]), ...(s.size ? [`${s.size} × ${s.size} hidden`] : [])], told = `${lines.join(", ")}.`;
  $("note").replaceChildren(...lines.map((line) => make("span", {}, line)));
  $("seen").setAttribute("aria-label", `what the networks see: ${told}`);
  $("seen").classList.toggle("block", s.size > 0);
  clearTimeout(quiet);
  quiet = setTimeout(() => {
    const answers = s.methods.filter((m) => scores[m]).map((m) => `${facts.labels[m]} says ${best(scores[m])} at ${scores[m][best(scores[m])].toFixed(2)}`);
    $("status").textContent = `${told} ${hidden ? "Answers are hidden: guess, then look" : answers.join("; ")}.`;
  }, 700);
}

/** The last draws as squares, counted, beside the accuracy on the whole test set where there is a row. */
function chart(s) {
  const draws = lastDraws(s).reverse(), noise = s.kind !== "none", attack = s.attack && s.epsilon > 0;
  const test = attack ? "" : s.size ? (noise ? "" : `occlusion ${s.size}`) : noise ? `${s.kind} ${s.snr}` : "clean 0", rows = s.methods.some((m) => test in (facts.tests[m] || {}));
  $("luck-name").textContent = `${noise ? `The last ${DRAWS} draws of noise on this digit, at these settings` : "No noise: one draw tells all"}; last column: accuracy ${
    rows ? "on all MNIST test images at this level" + (s.size ? ", the square anywhere" : "") : "on the test set, not measured at these settings"}.`;
  $("luck-count").textContent = s.truth === null ? "as clean" : "right";
  for (const m of methods) {
    const row = $(`luck-${m}`), i = s.methods.indexOf(m);
    if (i < 0) continue;
    const known = draws.map((d) => s.blank || guessing(s) ? undefined : tally.right.get(d)?.[i]), hits = known.filter((v) => v === true).length, of = known.filter((v) => v !== undefined).length;
    const squares = (wanted, edge) => known.map((v, k) => v === wanted ? `M${k * 8 + 1 + edge} ${2 + edge}h${6 - 2 * edge}v${10 - 2 * edge}h${2 * edge - 6}z` : "").join("");
    row.querySelector(".hit").setAttribute("d", squares(true, 0));
    row.querySelector(".miss").setAttribute("d", squares(false, 0.5));
    row.querySelector(".count").textContent = of ? `${hits} of ${of}` : "–";
    row.querySelector(".test").textContent = facts.tests[m]?.[test] ?? "–";
  }
}

// ---------------------------------------------------------------- why: input gradients, and what each step took

const {up: UP, down: DOWN} = facts.colours;     // orange raises the score, purple lowers it, as in the chapters

/** A signed picture: white is zero, the strongest pixel full colour; its largest size. */
function signed(canvas, g) {
  const most = g.reduce((s, v) => Math.max(s, Math.abs(v)), 0), context = canvas.getContext("2d");
  g.forEach((v, i) => {
    const colour = v > 0 ? UP : DOWN, share = most ? Math.abs(v) / most : 0;
    colour.forEach((c, k) => { shades.data[4 * i + k] = 255 + share * (c - 255); });
    shades.data[4 * i + 3] = 255;
  });
  context.putImageData(shades, 0, 0);
  return most;
}

/** Draw the reasons of the frame that is shown; false when they are there already. */
async function reasons() {
  if (!shown || shown.reasons) return false;
  const {s, seen} = shown, guess = guessing(s), y = s.truth ?? best(cleanOf[s.why[0]]), plain = {...s, size: 0};
  $("why").hidden = guess;
  shown.reasons = true;
  if (guess) return false;
  const steps = [["clean", s.x], ...(s.attack && s.epsilon ? [["attacked", s.base]] : []), ...(s.kind === "none" ? [] : [["with noise", spoil(s.base, plain)]]), ...(s.size ? [["behind the square", seen]] : [])];
  const slopes = await work("slopes", {images: [seen], methods: s.why, y}), along = await ask(steps.map(([, x]) => x), s.why);
  if (due) return true;
  shown.slopes = slopes;
  ["a", "b"].forEach((id, i) => {
    const name = facts.labels[s.why[i]], length = Math.hypot(...slopes[i]), size = length < 0.1 ? length.toExponential(0) : length.toFixed(2);
    const path = steps.map(([step], k) => `${softmax(along[k][i])[y].toFixed(2)} ${step}`).join(", ");
    signed($(`slope-${id}`), slopes[i]);
    $(`slope-${id}`).setAttribute("aria-label", `input gradient of ${name}’s score for ${y}, length ${size}`);
    $(`slope-${id}-said`).textContent = `length ${size}`;
    $(`path-${id}`).textContent = `${name}’s score for ${y}: ${path}.`;
  });
  signed($("changed"), seen.map((v, i) => v - s.x[i]));
  return true;
}

// ---------------------------------------------------------------- guess first

let guesses = {right: 0, of: 0, draws: 0, looked: ""};
const betKey = (s) => JSON.stringify([s.own ? strokes : s.source, s.kind, s.snr, s.draw, s.size, s.top, s.left, s.attack, s.epsilon, s.methods]);
const guessing = (s) => s.guess && !s.blank && guesses.looked !== betKey(s);

/** The guesses are counted against the answers, which are shown. */
function look() {
  const {s, scores} = shown;
  if (!guessing(s)) return;
  const hits = s.methods.filter((m) => $(`bet-${m}`).checked === (best(scores[m]) === (s.truth ?? best(cleanOf[m])))).length;
  guesses = {right: guesses.right + hits, of: guesses.of + s.methods.length, draws: guesses.draws + 1, looked: betKey(s)};
  $("guessed").textContent = `${hits} of ${s.methods.length} right; in ${guesses.draws} draw${guesses.draws > 1 ? "s" : ""} ${guesses.right} of ${guesses.of}.`;
  moved();
}

// ---------------------------------------------------------------- readings

/** Readings beside the sliders and their words for screen readers; gallery or pad, networks chosen. */
function said() {
  for (const m of methods) $(`card-${m}`).hidden = $(`luck-${m}`).hidden = !$(`tick-${m}`).checked;
  const own = chosen("source") === "pad";
  [$("gallery").hidden, $("seek").hidden, $("drawing").hidden, $("sheet").hidden] = [own, own, !own, !own];
  $("work").classList.toggle("own", own);
  const units = {snr: (v) => `${v} dB`, size: (v) => v ? `${v} px` : "none", top: (v) => v + 1, left: (v) => v + 1, epsilon: (v) => v.toFixed(2)};
  for (const [id, words] of Object.entries(units)) {
    $(`${id}-said`).textContent = words(+$(id).value);
    $(id).setAttribute("aria-valuetext", id === "snr" ? `${$(id).value} decibels, ratio ${(10 ** ($(id).value / 10)).toFixed(2)}` : words(+$(id).value));
  }
  $("draw").textContent = `draw ${draw}`;
  $("snr").disabled = $("again").disabled = $("kind").value === "none";
  $("epsilon").disabled = $("attacked").value === "";
  $("top").disabled = $("left").disabled = $("unhide").disabled = +$("size").value === 0;
  $("undo").disabled = $("wipe").disabled = strokes.length === 0;
  $("look").hidden = !$("guess").checked;
}

// ---------------------------------------------------------------- building and listening

function build() {
  const classes = [...Array(10).keys()];
  gallery.forEach((x, i) => {
    const canvas = make("canvas", {width: SIDE, height: SIDE, "aria-hidden": true}), of = i % 4 + 1;
    const input = make("input", {type: "radio", name: "image", value: i, "aria-label": `a ${facts.classes[i]}, image ${of} of 4`});
    picture(canvas, x);
    $("gallery").append(make("label", {}, [input, canvas]));
  });
  for (const m of methods) {
    const text = classes.map((c) => make("svg:text", {x: 26 * c + 15, y: 55, "text-anchor": "middle"}, String(c))), name = facts.labels[m], key = () => make("span", {class: "key"});
    const svg = make("svg:svg", {class: "bars", role: "img", viewBox: "0 0 268 67"},
      [make("svg:path", {class: "now"}), make("svg:path", {class: "before"}), ...text, make("svg:path", {class: "true"})]);
    const bet = make("label", {class: "tick bet"}, [make("input", {type: "checkbox", id: `bet-${m}`}), "holds"]);
    $("cards").append(make("article", {class: `card ${m}`, id: `card-${m}`, "aria-labelledby": `name-${m}`},
      [make("h3", {id: `name-${m}`}, [key(), name]), make("p", {class: "said"}), bet, make("p", {class: "rest"}), svg]));
    const strip = make("svg:svg", {class: "strip", viewBox: `0 0 ${8 * DRAWS + 4} 14`, "aria-hidden": true}, [make("svg:path", {class: "hit"}), make("svg:path", {class: "miss"})]);
    $("luck").append(make("tr", {class: m, id: `luck-${m}`}, [make("th", {scope: "row"}, [key(), name]), make("td", {}, strip), make("td", {class: "count"}), make("td", {class: "test"})]));
    $("ticks").append(make("label", {class: `tick ${m}`}, [make("input", {type: "checkbox", id: `tick-${m}`}), make("span", {}, [key(), name])]));
    for (const id of ["attacked", "why-a", "why-b"]) $(id).append(make("option", {value: m}, name));
  }
  classes.forEach((c) => $("truth").append(make("option", {value: c}, String(c))));
  $("full").hidden = !document.fullscreenEnabled;
}

/** Drag the hidden square on the picture; a touch beside it, or where there is none, sets one down, a touch on it takes it off. */
function block(e) {
  const seen = $("seen"), size = +$("size").value, at = (v) => clamp(Math.round(v / seen.clientWidth * SIDE - (size || 8) / 2), 0, SIDE - (size || 8));
  const [row, column] = [at(e.offsetY), at(e.offsetX)];
  if (e.type === "pointerdown" && !seen.held) {
    seen.held = {id: e.pointerId, inside: size > 0 && Math.abs(row - $("top").value) <= size / 2 && Math.abs(column - $("left").value) <= size / 2, from: [row, column], gone: false};
    if (size) seen.setPointerCapture(e.pointerId);
  }
  if (seen.held?.id !== e.pointerId) return;
  seen.held.gone ||= Math.hypot(row - seen.held.from[0], column - seen.held.from[1]) >= 1;
  const end = e.type === "pointerup", taken = end && seen.held.inside && !seen.held.gone;
  if (taken) $("size").value = 0;
  else if (size ? seen.held.gone || end : end) {
    if (!size) $("size").value = 8;
    [$("top").value, $("left").value] = [row, column];
  }
  if (end) seen.held = null;
  moved();
  if (end) commit();
}

/** The picture that the networks see, ten times as large, as a file. */
function download() {
  const large = make("canvas", {width: 10 * SIDE, height: 10 * SIDE}), context = large.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage($("seen"), 0, 0, large.width, large.height);
  large.toBlob((blob) => {
    const link = make("a", {href: URL.createObjectURL(blob), download: "seen.png"});
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}

/** Go to the next test image about which the networks shown differ, at this noise and square. */
async function next() {
  const s = settings(), order = gallery.map((_, i) => (s.source + 1 + i) % gallery.length);
  $("next-said").textContent = "looking";
  const answers = await ask(order.map((i) => spoil(gallery[i], s)), s.methods);
  const found = order.find((_, k) => new Set(answers[k].map((l) => best(Array.from(l)))).size > 1);
  $("next-said").textContent = found === undefined ? "they agree on all forty" : found === s.source ? "no other" : "";
  if (found === undefined) return;
  document.querySelector(`input[name=image][value="${found}"]`).checked = true;
  moved();
  commit();
}

async function copy() {
  const link = location.href.split("#")[0] + addressOf(state());
  try {
    await navigator.clipboard.writeText(link);
    $("copied").textContent = "copied";
  } catch {
    $("copied").replaceChildren(make("a", {href: link}, "this link"));
  }
}

function listen() {
  const follow = (element, act = moved) => {
    element.addEventListener("input", act);
    element.addEventListener("change", commit);
  };
  for (const id of [...SLIDERS, "kind", "truth", "gallery", "ticks", "attacked", "why-a", "why-b", "guess"]) follow($(id));
  for (const input of document.querySelectorAll("input[name=source]")) follow(input);
  const press = (id, act) => $(id).addEventListener("click", act);
  const edit = (wanted) => {
    redraw(wanted);
    if (!wanted.length) $("truth").value = "";
    moved();
    commit();
  };
  press("again", () => { draw += 1; moved(); commit(); });
  press("wipe", () => edit([]));
  press("undo", () => edit(strokes.slice(0, -1)));
  press("unhide", () => { $("size").value = 0; moved(); commit(); });
  press("next", next);
  press("look", look);
  press("copy", copy);
  press("save", download);
  press("full", () => document.fullscreenElement ? document.exitFullscreen() : $("explorer").requestFullscreen());
  pad.addEventListener("keydown", penKeys);
  for (const type of ["focus", "blur"]) pad.addEventListener(type, () => { $("mark").hidden = type === "blur" || !pad.matches(":focus-visible"); showPen(false); });
  for (const type of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) pad.addEventListener(type, penMoves);
  for (const type of ["pointerdown", "pointermove", "pointerup"]) $("seen").addEventListener(type, block);
  $("seen").addEventListener("pointercancel", () => { $("seen").held = null; });
  addEventListener("popstate", arrive);
}

build();
listen();
startTheorem();
try {
  startWorker();
  setTo(START);
  arrive();
  if (!shown && !running) moved();
} catch (error) {
  failed(`The networks could not be started: ${error.message}.`);
}
