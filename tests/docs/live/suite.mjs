// The core's own tests, run by the Pyodide and on the wheels that the built site ships.
//
//     node tests/docs/live/suite.mjs [pytest's arguments]
//
// PYTHON downloads pytest; it is .venv/bin/python unless said otherwise.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { SITE } from "./site.mjs";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const LIVE = join(SITE, "_static/live");
const [runtime] = readdirSync(LIVE).filter((name) => name.startsWith("pyodide-"));
const [shipped] = readdirSync(LIVE).filter((name) => /^[0-9a-f]{12}$/.test(name));

// What cannot run here, and why.
const ENGINE = "tests/autograd/test_engine.py::";
const WITHOUT = {
  "there are no threads": [
    ENGINE + "test_two_threads_keep_their_own_grad_mode",
    ENGINE + "test_backward_in_two_threads_at_once",
  ],
  "needs the tree of the source": [
    "tests/ops/test_declare.py::test_an_operation_added_to_one_file_is_found_everywhere",
  ],
  "integers of 64 bits, where NumPy's own have 32": [
    "tests/ops/test_out_of_range.py::test_integers_inside_are_taken[arange]",
    "tests/ops/test_out_of_range.py::test_integers_inside_are_taken[arange, last]",
  ],
  "right, but a minute of work": [
    ENGINE + "test_a_million_nodes_run_backward_and_are_freed",
    ENGINE + "test_a_deep_graph_that_never_runs_is_freed_without_the_collector",
  ],
};

const python = process.env.PYTHON ?? join(ROOT, ".venv/bin/python");
const downloaded = mkdtempSync(join(tmpdir(), "wheels-"));
execFileSync(python, ["-m", "pip", "download", "-q", "--only-binary=:all:", "-d", downloaded, "pytest>=8.2"]);

const { loadPyodide } = await import(join(LIVE, runtime, "pyodide.mjs"));
const pyodide = await loadPyodide({
  indexURL: join(LIVE, runtime) + "/",
  lockFileURL: join(LIVE, shipped, "lock.json"),
});
await pyodide.loadPackage("numpy", { messageCallback: () => {} });
const extractDir = pyodide.runPython("import site; site.getsitepackages()[0]");
for (const folder of [downloaded, join(LIVE, shipped)])
  for (const wheel of readdirSync(folder).filter((name) => name.endsWith(".whl")))
    pyodide.unpackArchive(new Uint8Array(readFileSync(join(folder, wheel))), "wheel", { extractDir });
pyodide.FS.mkdirTree("/repo/tests");
pyodide.FS.mount(pyodide.FS.filesystems.NODEFS, { root: join(ROOT, "tests") }, "/repo/tests");
pyodide.FS.writeFile("/repo/pyproject.toml", readFileSync(join(ROOT, "pyproject.toml")));
pyodide.FS.writeFile("/repo/conftest.py", `
from hypothesis import HealthCheck, settings
settings.register_profile("browser", max_examples=5, deadline=None, derandomize=True,
    database=None, suppress_health_check=list(HealthCheck))
`);

const given = process.argv.slice(2);
const chosen = given.length ? given : ["tests/autograd", "tests/ops", "tests/nn", "tests/train/test_confusion.py"];
const without = Object.values(WITHOUT).flat().map((test) => `--deselect=${test}`);
pyodide.globals.set("words", pyodide.toPy([
  "-q", "-m", "not slow", "--hypothesis-profile=browser", "--durations=8",
  "--capture=sys", "-p", "no:cacheprovider", "-p", "no:faulthandler", ...without, ...chosen,
])); // prettier-ignore
process.exitCode = pyodide.runPython(`
import os, sys
sys.dont_write_bytecode = True
os.chdir("/repo")
import minigrad, pytest
assert "site-packages" in minigrad.__file__
int(pytest.main(words))
`);
