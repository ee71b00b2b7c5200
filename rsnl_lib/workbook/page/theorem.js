// Theorem 1 on a line.

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
