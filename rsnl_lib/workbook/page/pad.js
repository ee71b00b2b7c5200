// A drawn digit: strokes on the pad, and what MNIST's makers would have made of it.

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

const pad = $("pad"), ink = pad.getContext("2d", {willReadFrequently: true});
const pen = {x: 140, y: 140, down: false, held: null};     // down: by keyboard; held: the pointer that draws
let strokes = [], drawn = null;       // strokes as [x0, y0, x1, y1, ...] in even pixels; drawn: {x}, undefined while it is to be made anew
const even = (v) => 2 * Math.round(clamp(v, 0, pad.width) / 2);

/** One piece of a stroke, always by itself, so that a stroke drawn again is the same to the pixel. */
function piece(x0, y0, x1, y1) {
  ink.beginPath();
  ink.moveTo(x0, y0);
  ink.lineTo(x1, y1);
  ink.stroke();
}

/** The pad as these strokes make it. */
function redraw(wanted) {
  strokes = wanted;
  ink.fillStyle = "#fff";
  ink.fillRect(0, 0, pad.width, pad.height);
  Object.assign(ink, {lineWidth: 22, lineCap: "round", lineJoin: "round", strokeStyle: "#000"});
  for (const s of strokes) {
    piece(s[0], s[1], s[0], s[1]);
    for (let i = 2; i < s.length; i += 2) piece(s[i - 2], s[i - 1], s[i], s[i + 1]);
  }
  drawn = strokes.length ? undefined : null;
}

function begin(x, y) {
  strokes.push([even(x), even(y)]);
  piece(even(x), even(y), even(x), even(y));
  drawn = undefined;            // to be centred when the next frame needs it
  moved();
}

/** The last stroke goes on to x, y; steps of less than four pixels are waited for. */
function extend(x, y) {
  const s = strokes.at(-1), [x0, y0] = s.slice(-2);
  [x, y] = [even(x), even(y)];
  if (Math.hypot(x - x0, y - y0) < 4) return;
  s.push(x, y);
  piece(x0, y0, x, y);
  drawn = undefined;
  moved();
}

function showPen(words) {
  $("mark").style.left = `${100 * pen.x / pad.width}%`;
  $("mark").style.top = `${100 * pen.y / pad.height}%`;
  $("mark").classList.toggle("down", pen.down);
  if (words) $("pad-said").textContent = `The pen is ${pen.down ? "down" : "up"} at row ${Math.floor(pen.y / 10) + 1}, column ${Math.floor(pen.x / 10) + 1} of 28.`;
}

function penKeys(e) {
  const step = {ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, -10], ArrowDown: [0, 10]}[e.key];
  if (e.key === " ") {
    pen.down = !pen.down;
    if (pen.down) begin(pen.x, pen.y);
    else commit();
  } else if (step) {
    [pen.x, pen.y] = [clamp(pen.x + step[0], 10, 270), clamp(pen.y + step[1], 10, 270)];
    if (pen.down) extend(pen.x, pen.y);
  } else return;
  e.preventDefault();
  showPen(true);
}

/** Mouse, finger or pen; while one draws, the others are not heard. */
function penMoves(e) {
  const at = [(e.offsetX + 0.5) * pad.width / pad.clientWidth, (e.offsetY + 0.5) * pad.height / pad.clientHeight];
  if (e.type === "pointerdown" && pen.held === null && e.button === 0) {
    pad.setPointerCapture(e.pointerId);
    pen.held = e.pointerId;
    pen.down = false;
    begin(...at);
  } else if (pen.held !== e.pointerId) return;
  else if (e.type === "pointermove") extend(...at);
  else if (e.type !== "pointerdown") {
    pen.held = null;
    commit();
  }
}

/** Source, strokes and class as a state says. */
function padTo(t) {
  choose("source", t.strokes ? "pad" : "gallery");
  redraw(t.strokes || []);
  $("truth").value = t.is ?? "";
}

/** Gallery or pad, whichever is chosen. */
function showSource() {
  const own = chosen("source") === "pad";
  [$("gallery").hidden, $("seek").hidden, $("drawing").hidden, $("sheet").hidden] = [own, own, !own, !own];
  $("work").classList.toggle("own", own);
  $("undo").disabled = $("wipe").disabled = strokes.length === 0;
}

function startPad() {
  facts.names.forEach((name, c) => $("truth").append(make("option", {value: c}, name)));
  const edit = (wanted) => {
    redraw(wanted);
    if (!wanted.length) $("truth").value = "";
    moved();
    commit();
  };
  $("wipe").addEventListener("click", () => edit([]));
  $("undo").addEventListener("click", () => edit(strokes.slice(0, -1)));
  pad.addEventListener("keydown", penKeys);
  for (const type of ["focus", "blur"]) pad.addEventListener(type, () => { $("mark").hidden = type === "blur" || !pad.matches(":focus-visible"); showPen(false); });
  for (const type of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) pad.addEventListener(type, penMoves);
}
