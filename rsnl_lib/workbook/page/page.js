// The controls: what they say, guesses, building and listening. A page may lack the pad (pad.js) and the attack.

const chosen = (name) => document.querySelector(`input[name=${name}]:checked`)?.value;
const SLIDERS = ["snr", "size", "top", "left", "epsilon"].filter((id) => $(id));
const choose = (name, value) => { document.querySelector(`input[name=${name}][value="${value}"]`).checked = true; };

/** Everything a frame depends on: {x, truth, source, own, blank, methods, kind, snr, draw, size, top, left, attack, epsilon, why, guess}. */
function settings() {
  const own = chosen("source") === "pad", image = +chosen("image");
  if (own && drawn === undefined) drawn = {x: centred(pad)};
  const told = $("truth")?.value, x = own ? drawn?.x : gallery[image];
  return {
    x: x || new Float32Array(PIXELS), blank: !x, truth: own ? (told === "" ? null : +told) : facts.classes[image], source: own ? drawn : image, own,
    methods: methods.filter((m) => $(`tick-${m}`).checked), kind: $("kind").value, draw, attack: $("attacked")?.value, why: ["why-a", "why-b"].map((id) => $(id).value),
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
  choose("image", t.digit);
  if ($("pad")) padTo(t);
  if ($("attacked")) $("attacked").value = t.attack;
  for (const id of SLIDERS) $(id).value = t[id];
  [$("kind").value, $("guess").checked] = [t.noise, t.guess];
  [$("why-a").value, $("why-b").value] = t.why;
  for (const m of methods) $(`tick-${m}`).checked = t.nets.includes(m);
  draw = t.draw;
}

/** Take the state from the address. */
function arrive() {
  if (["#explorer", "#claim", "#theorem", "#made"].includes(location.hash)) return;
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
  if ($("pad")) showSource();
  const units = {snr: (v) => `${v} dB`, size: (v) => v ? `${v} px` : "none", top: (v) => v + 1, left: (v) => v + 1, epsilon: (v) => v.toFixed(2)};
  for (const id of SLIDERS) {
    const words = units[id];
    $(`${id}-said`).textContent = words(+$(id).value);
    $(id).setAttribute("aria-valuetext", id === "snr" ? `${$(id).value} decibels, ratio ${(10 ** ($(id).value / 10)).toFixed(2)}` : words(+$(id).value));
  }
  $("draw").textContent = `draw ${draw}`;
  $("snr").disabled = $("again").disabled = $("kind").value === "none";
  if ($("attacked")) $("epsilon").disabled = $("attacked").value === "";
  $("top").disabled = $("left").disabled = $("unhide").disabled = +$("size").value === 0;
  $("look").hidden = $("guessed").hidden = !$("guess").checked;
}

// ---------------------------------------------------------------- building and listening

function build() {
  const classes = [...Array(10).keys()];
  gallery.forEach((x, i) => {
    const canvas = make("canvas", {width: SIDE, height: SIDE, "aria-hidden": true}), c = facts.classes[i], alike = facts.classes.filter((v) => v === c).length;
    const input = make("input", {type: "radio", name: "image", value: i, "aria-label": `a ${named(c)}, image ${i % alike + 1} of ${alike}`});
    bare(canvas, {x, source: i});
    $("gallery").append(make("label", {}, [input, canvas]));
  });
  for (const m of methods) {
    const text = classes.map((c) => make("svg:text", {x: 26 * c + 15, y: 55, "text-anchor": "middle"}, named(c))), name = facts.labels[m], key = () => make("span", {class: "key"});
    const svg = make("svg:svg", {class: "bars", role: "img", viewBox: "0 0 268 67"},
      [make("svg:path", {class: "now"}), make("svg:path", {class: "before"}), ...text, make("svg:path", {class: "true"})]);
    const bet = make("label", {class: "tick bet"}, [make("input", {type: "checkbox", id: `bet-${m}`}), "holds"]);
    $("cards").append(make("article", {class: `card ${m}`, id: `card-${m}`, "aria-labelledby": `name-${m}`},
      [make("h3", {id: `name-${m}`}, [key(), name]), make("p", {class: "said"}), bet, make("p", {class: "rest"}), svg]));
    const strip = make("svg:svg", {class: "strip", viewBox: `0 0 ${8 * DRAWS + 4} 14`, "aria-hidden": true}, [make("svg:path", {class: "hit"}), make("svg:path", {class: "miss"})]);
    $("luck").append(make("tr", {class: m, id: `luck-${m}`}, [make("th", {scope: "row"}, [key(), name]), make("td", {}, strip), make("td", {class: "count"}), make("td", {class: "test"})]));
    $("ticks").append(make("label", {class: `tick ${m}`}, [make("input", {type: "checkbox", id: `tick-${m}`}), make("span", {}, [key(), name])]));
    for (const id of ["attacked", "why-a", "why-b"]) $(id)?.append(make("option", {value: m}, name));
  }
  $("full").hidden = !document.fullscreenEnabled;
}

/** Drag the hidden square on the picture; a touch beside it, or where there is none, sets one down, a touch on it takes it off. */
function block(e) {
  const seen = e.currentTarget, size = +$("size").value, at = (v) => clamp(Math.round(v / seen.clientWidth * SIDE - (size || 8) / 2), 0, SIDE - (size || 8));
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
  $("next-said").textContent = found === undefined ? `they agree on all ${facts.count}` : found === s.source ? "no other" : "";
  if (found === undefined) return;
  choose("image", found);
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
  const lists = ["kind", "truth", "gallery", "ticks", "attacked", "why-a", "why-b", "guess"].map($).filter(Boolean);
  for (const e of [...SLIDERS.map($), ...lists, ...document.querySelectorAll("input[name=source]")]) follow(e);
  const press = (id, act) => $(id).addEventListener("click", act);
  press("again", () => { draw += 1; moved(); commit(); });
  press("unhide", () => { $("size").value = 0; moved(); commit(); });
  for (const link of document.querySelectorAll(".tries a")) link.addEventListener("click", () => { $("explorer").scrollTop = 0; scrollTo(0, 0); });
  press("next", next);
  press("look", look);
  press("copy", copy);
  press("save", download);
  press("full", () => document.fullscreenElement ? document.exitFullscreen() : $("explorer").requestFullscreen());
  for (const canvas of photos ? [$("seen"), $("clean")] : [$("seen")]) {
    for (const type of ["pointerdown", "pointermove", "pointerup"]) canvas.addEventListener(type, block);
    canvas.addEventListener("pointercancel", () => { canvas.held = null; });
  }
  addEventListener("popstate", arrive);
}

build();
listen();
if ($("pad")) startPad();
if ($("plot")) startTheorem();
try {
  startWorker();
  setTo(START);
  arrive();
  if (!shown && !running) moved();
} catch (error) {
  failed(`The networks could not be started: ${error.message}.`);
}
