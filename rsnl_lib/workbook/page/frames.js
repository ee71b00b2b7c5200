// Frames: the newest settings only, then luck while nothing moves; pictures, cards, reasons.

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
  bare($("clean"), s);
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

/** Numbers as colours, low black and high white; the hidden square is framed. */
function picture(canvas, x, {size = 0, top = 0, left = 0} = {}, [low, high] = facts.look) {
  const context = canvas.getContext("2d");
  for (let i = 0; i < SIDE * SIDE; i++) for (let k = 0; k < 3; k++) {
    shades.data[4 * i + k] = 255 * clamp((x[i * CHANNELS + k % CHANNELS] - low) / (high - low), 0, 1);
    shades.data[4 * i + 3] = 255;
  }
  context.putImageData(shades, 0, 0);
  if (size) {
    context.strokeStyle = "#0072b2";
    context.strokeRect(Math.min(left, SIDE - size) + 0.5, Math.min(top, SIDE - size) + 0.5, size - 1, size - 1);
  }
}

/** The image before noise as people see it: the photograph, where the networks get something else. */
const bare = (canvas, s) => photos ? picture(canvas, photos[s.source], s, [0, 1]) : picture(canvas, s.x);

const named = (c) => facts.names[c];
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
  const top = best(p), known = truth !== null, right = top === truth, said = `says ${named(top)} at ${p[top].toFixed(2)}`;
  const mark = known ? (right ? "right" : "wrong") : "";
  const rest = known ? `true class ${named(truth)}: ${p[truth].toFixed(2)} (${change(p[truth] - clean[truth])} from clean)` : `clean: ${named(best(clean))} at ${clean[best(clean)].toFixed(2)}`;
  part("said").replaceChildren(said, known ? " · " : "", make("b", {class: right ? "yes" : "no"}, mark));
  part("rest").textContent = rest;
  part("now").setAttribute("d", bars(p));
  part("before").setAttribute("d", bars(clean));
  part("true").setAttribute("d", known ? `M${26 * truth + 15} 58l5 8h-10z` : "");
  part("bars").setAttribute("aria-label", `${name} ${said} ${mark}; ${rest}; all scores: ${p.map((v, i) => `${named(i)} ${v.toFixed(2)}`).join(", ")}`);
}

/** Who is wrong on the picture that is shown, and who holds. */
function fallen(s, scores) {
  const holds = (m) => best(scores[m]) === (s.truth ?? best(cleanOf[m])), list = (part) => part.map((m) => facts.labels[m]).join("; ") || "nobody";
  return `Wrong now: ${list(s.methods.filter((m) => !holds(m)))}. Right: ${list(s.methods.filter(holds))}.`;
}

let quiet = 0;
function words(s, scores, hidden) {
  const what = s.own ? (s.blank ? "nothing drawn yet" : "your digit") : `a ${named(s.truth)}`, kind = {gaussian: "white noise", poisson: "Poisson noise", none: "no noise"}[s.kind];
  const attack = s.attack && s.epsilon ? [`attack on ${facts.labels[s.attack]}, ε = ${s.epsilon.toFixed(2)}`] : [];
  const lines = [what, ...attack, kind, ...(s.kind === "none" ? [] : [`${s.snr} dB`]), ...(s.size ? [`${s.size} × ${s.size} hidden`] : [])], told = `${lines.join(", ")}.`;
  $("note").replaceChildren(...lines.map((line) => make("span", {}, line)));
  $("seen").setAttribute("aria-label", `what the networks see: ${told}`);
  $("pictures").classList.toggle("block", s.size > 0);
  if ($("fallen")) $("fallen").textContent = attack.length && !hidden && !s.blank ? fallen(s, scores) : "";
  $("look").disabled = !hidden;
  clearTimeout(quiet);
  quiet = setTimeout(() => {
    const answers = s.methods.filter((m) => scores[m]).map((m) => `${facts.labels[m]} says ${named(best(scores[m]))} at ${scores[m][best(scores[m])].toFixed(2)}`);
    $("status").textContent = `${told} ${hidden ? "Answers are hidden: guess, then look" : answers.join("; ")}.`;
  }, 700);
}

/** [what the rows call the noise or square that is shown, the level of these rows nearest to it]; an attack, or noise and square together, were not measured. */
function measured(s) {
  const noise = s.kind !== "none", level = noise ? s.snr : s.size, other = (s.attack && s.epsilon) || (noise && s.size);
  const kind = other ? "" : noise ? s.kind : s.size ? "occlusion" : "clean", far = ([, v]) => Math.abs(v - level);
  const rows = s.methods.flatMap((m) => Object.keys(facts.tests[m] || {})).map((row) => row.split(" ")).filter(([k]) => k === kind);
  return [`${kind} ${level}`, rows.sort((a, b) => far(a) - far(b))[0]?.[1]];
}

/** The last draws as squares, counted, beside the accuracy on the whole test set where there is a row. */
function chart(s) {
  const draws = lastDraws(s).reverse(), noise = s.kind !== "none", [test, nearest] = measured(s), rows = test.endsWith(` ${nearest}`);
  const unmeasured = `on the test set, not measured at these settings${nearest === undefined ? "" : ` (nearest: ${nearest} ${noise ? "dB" : "px"})`}`;
  $("luck-name").textContent = `${noise ? `The last ${DRAWS} draws of noise on this ${facts.item}, at these settings` : "No noise: one draw tells all"}; last column: accuracy ${
    rows ? `on all ${facts.set} test images at this level` + (s.size ? ", the square anywhere" : "") : unmeasured}.`;
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

/** A signed picture: white is zero, the strongest pixel full colour; of channels the mean. */
function signed(canvas, values) {
  const g = Array.from({length: SIDE * SIDE}, (_, i) => values.subarray(i * CHANNELS, (i + 1) * CHANNELS).reduce((s, v) => s + v) / CHANNELS);
  const most = g.reduce((s, v) => Math.max(s, Math.abs(v)), 0), context = canvas.getContext("2d");
  g.forEach((v, i) => {
    const colour = v > 0 ? UP : DOWN, share = most ? Math.abs(v) / most : 0;
    colour.forEach((c, k) => { shades.data[4 * i + k] = 255 + share * (c - 255); });
    shades.data[4 * i + 3] = 255;
  });
  context.putImageData(shades, 0, 0);
}

/** Draw the reasons of the frame that is shown; false when they are there already. */
async function reasons() {
  if (!shown || shown.reasons) return false;
  const {s, seen, scores} = shown, guess = guessing(s), y = s.truth ?? best(cleanOf[s.why[0]]), plain = {...s, size: 0};
  $("why").hidden = guess;
  shown.reasons = true;
  if (guess) return false;
  const steps = [["clean"], ...(s.attack && s.epsilon ? [["attacked", s.base]] : []), ...(s.kind === "none" ? [] : [["with noise", spoil(s.base, plain)]]), ...(s.size ? [["behind the square"]] : [])], between = steps.slice(1, -1).map(([, x]) => x);
  const slopes = [];
  for (const m of s.why) {        // one network at a time: a move takes the next turn
    slopes.push(...await work("slopes", {images: [seen], methods: [m], y}));
    if (due) return true;
  }
  const along = between.length ? await ask(between, s.why) : [];
  if (due) return true;
  shown.slopes = slopes;
  ["a", "b"].forEach((id, i) => {
    const name = facts.labels[s.why[i]], length = Math.hypot(...slopes[i]), size = length < 0.1 ? length.toExponential(0) : length.toFixed(2);
    const on = [cleanOf[s.why[i]], ...along.map((a) => softmax(a[i])), scores[s.why[i]]];     // the frame knows the ends
    const path = steps.map(([step], k) => `${on[k][y].toFixed(2)} ${step}`).join(", ");
    signed($(`slope-${id}`), slopes[i]);
    $(`slope-${id}`).setAttribute("aria-label", `input gradient of ${name}’s score for ${named(y)}, length ${size}`);
    $(`slope-${id}-said`).textContent = `length ${size}`;
    $(`path-${id}`).textContent = `${name}’s score for ${named(y)}: ${path}.`;
  });
  signed($("changed"), seen.map((v, i) => v - s.x[i]));
  return true;
}
