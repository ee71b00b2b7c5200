// The networks, in a worker, asked one thing at a time.

let worker, number = 0;
const waiting = new Map();

/** The worker's answer to a task of worker.js. */
function work(task, question) {
  return new Promise((done) => {
    waiting.set(++number, done);
    worker.postMessage({id: number, task, ...question});
  });
}

/** [[logits by method] by image]. */
const ask = (images, methods) => work("logits", {images, methods});

function startWorker() {
  const wasm = $("wasm").textContent, code = base64(wasm);
  worker = new Worker(URL.createObjectURL(new Blob([$("worker").textContent], {type: "text/javascript"})));
  worker.onerror = (e) => failed(`The networks could not be started: ${e.message || "this browser refuses a worker here"}.`);
  worker.onmessage = ({data}) => {
    waiting.get(data.id)(data.answer);
    waiting.delete(data.id);
  };
  const able = globalThis.WebAssembly?.validate(code);
  worker.postMessage({networks: facts.networks, shape: facts.shape, weights: $("weights").textContent, wasm: able ? wasm : null});
}

function failed(words) {
  $("failed").textContent = words;
  $("failed").hidden = false;
}
