// The state of the figure in the page's address, so that a link, the back button or a reload shows the same.

const NOISES = ["gaussian", "poisson", "none"];
// lowest, highest and step of each number; a step of 0 is any
const RANGES = {snr: [-6, 20, 0.5], draw: [1, 1e6, 1], [facts.item]: [0, gallery.length - 1, 1], is: [0, 9, 1], epsilon: [0, 0.3, 0], size: [0, 14, 1], top: [0, SIDE - 1, 1], left: [0, SIDE - 1, 1]};
const START = {digit: facts.start.digit, strokes: null, is: null, noise: "gaussian", snr: facts.start.snr, draw: 1, size: 0, top: 9, left: 9,
  nets: facts.shown, attack: "", epsilon: 0.15, why: ["teacher", "robust"], guess: false};

/** Strokes as text: two bytes a point, 255 between strokes. */
function strokesText(wanted) {
  const flat = wanted.flatMap((s, i) => [...(i ? [255] : []), ...s.map((v) => v / 2)]);
  return btoa(String.fromCharCode(...flat)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function strokesOf(text) {
  const flat = Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0)), found = [[]];
  for (const v of flat) {
    if (v === 255) found.push([]);
    else found.at(-1).push(2 * v);
  }
  if (found.some((s) => s.length < 2 || s.length % 2 || s.some((v) => v > 280))) throw new Error("no strokes");
  return found;
}

/** "#digit=5&snr=1..." of a state. */
function addressOf(t) {
  const said = {...(t.strokes ? {strokes: strokesText(t.strokes)} : {[facts.item]: t.digit}), ...(t.strokes && t.is !== null && {is: t.is}),
    noise: t.noise, snr: t.snr, draw: t.draw, square: [t.size, t.top, t.left], nets: t.nets, ...(t.attack && {attack: [t.attack, t.epsilon]}), why: t.why,
    ...(t.guess && {guess: 1})};
  return "#" + Object.entries(said).map(([k, v]) => `${k}=${[v].flat().join(",")}`).join("&");
}

/** [state, what could not be understood] of an address; what it does not say is as at the start. */
function stateOf(address) {
  const t = {...START}, odd = [];
  const number = (name, text) => {
    const v = Number(text), [low, high, step] = RANGES[name];
    const fits = text !== "" && v >= low && v <= high && (step === 0 || Number.isInteger(v / step));
    if (!fits) throw new Error(`${name} ${text || "(nothing)"} is not within ${low} to ${high}`);
    return v;
  };
  const known = (names, most) => {
    const wrong = names.find((m) => !methods.includes(m));
    if (wrong !== undefined) throw new Error(`there is no network ${wrong}`);
    return [...new Set(names)].slice(0, most);
  };
  const readers = {
    [facts.item]: (v) => ({digit: number(facts.item, v)}),
    ...($("pad") && {strokes: (v) => ({strokes: v === "" ? [] : strokesOf(v)}), is: (v) => ({is: number("is", v)})}),
    noise: (v) => {
      if (!NOISES.includes(v)) throw new Error(`noise ${v} is none of ${NOISES.join(", ")}`);
      return {noise: v};
    },
    snr: (v) => ({snr: number("snr", v)}), draw: (v) => ({draw: number("draw", v)}),
    square: (v) => Object.fromEntries(["size", "top", "left"].map((k, i) => [k, number(k, v.split(",")[i] ?? "")])),
    nets: (v) => ({nets: known(v.split(","))}), why: (v) => ({why: known(v.split(","), 2)}), guess: (v) => ({guess: v === "1"}),
    ...($("attacked") && {attack: (v) => ({attack: known([v.split(",")[0]])[0], epsilon: number("epsilon", v.split(",")[1] ?? "")})}),
  };
  for (const part of address.replace(/^#/, "").split("&").filter(Boolean)) {
    const at = part.indexOf("="), name = part.slice(0, Math.max(at, 0));
    try {
      if (!Object.hasOwn(readers, name)) throw new Error(`${part} is no setting`);
      Object.assign(t, readers[name](decodeURIComponent(part.slice(at + 1))));
    } catch (error) {
      odd.push(error instanceof DOMException || error instanceof URIError ? `${name} cannot be read` : error.message);
    }
  }
  t.nets = methods.filter((m) => t.nets.includes(m));
  t.why = [...t.why, ...t.nets].slice(0, 2);
  return [t, odd];
}
