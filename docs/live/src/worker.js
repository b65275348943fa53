// A page's Python. The page sends one message at a time and gets "done" for it; what a cell prints
// and shows comes before that.

const here = new URL("./", import.meta.url);
const pyodide = new URL(PYODIDE, here).href; // where Pyodide lies, see docs/_ext/live.py
let python, runner;

const output = (kind, text) => postMessage({ kind, text });

async function get(url, options) {
  const answer = await fetch(url, options);
  if (!answer.ok) throw new Error(`${url} answers ${answer.status} ${answer.statusText}`);
  return answer;
}

async function start({ signal }) {
  // loadPyodide 0.27.7 would wait for ever if this were missing.
  const [lock, source] = await Promise.all([
    get(new URL("lock.json", here)).then((answer) => answer.json()),
    get(new URL("runner.py", here)).then((answer) => answer.text()),
    get(pyodide + "pyodide.asm.wasm", { method: "HEAD" }),
  ]);
  // Pyodide would take names as relative to its own folder; the packages lie here.
  for (const entry of Object.values(lock.packages))
    entry.file_name = new URL(entry.file_name, here).href;
  const lockFileURL = URL.createObjectURL(new Blob([JSON.stringify(lock)]));
  const { loadPyodide } = await import(pyodide + "pyodide.mjs");
  python = await loadPyodide({ indexURL: pyodide, lockFileURL, packages: ["numpy", "minigrad"] });
  if (signal) python.setInterruptBuffer(signal);
  python.registerJsModule("minigrad_page", { send: output });
  runner = python.toPy({});
  python.runPython(source, { globals: runner });
}

const actions = {
  start,
  async run({ code, name }) {
    await python.loadPackagesFromImports(code, { messageCallback: () => {} });
    return runner.get("run")(code, name);
  },
  check: ({ code, name }) => runner.get("check")(code, name),
};

onmessage = async ({ data }) => {
  const began = performance.now();
  try {
    const problem = (await actions[data.kind](data)) ?? "";
    postMessage({ kind: "done", problem, seconds: (performance.now() - began) / 1000 });
  } catch (error) {
    // Python itself is broken (memory is full, a file did not come): nothing after this can run.
    postMessage({ kind: "done", problem: String(error), broken: true });
  }
};
