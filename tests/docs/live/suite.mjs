// The core's own tests and the cells of the lessons, run by the Pyodide and on the packages that
// the built site ships.
//
//     node tests/docs/live/suite.mjs [pytest's arguments]
//
// PYTHON downloads pytest; it is .venv/bin/python unless said otherwise.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
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
};

// What runs only if it is asked for.
const LESSONS = "tests/docs/test_exercises.py";
const ATTEMPT = LESSONS + "::test_the_start_fails_with_a_hint_and_the_solution_passes";
const UNASKED = {
  "right, but a minute of work": [
    ENGINE + "test_a_million_nodes_run_backward_and_are_freed",
    ENGINE + "test_a_deep_graph_that_never_runs_is_freed_without_the_collector",
    ATTEMPT + "[10-convnext]",
    ATTEMPT + "[11-checkpoint]",
  ],
  "run by live.test.mjs": [
    "01-derivative", "02-tensors", "03-engine", "04-gradient-check", "05-network",
  ].map((lesson) => `${ATTEMPT}[${lesson}]`), // prettier-ignore
};

const python = process.env.PYTHON ?? join(ROOT, ".venv/bin/python");
const downloaded = mkdtempSync(join(tmpdir(), "wheels-"));
execFileSync(python, ["-m", "pip", "download", "-q", "--only-binary=:all:", "-d", downloaded, "pytest>=8.2"]);

const lock = JSON.parse(readFileSync(join(LIVE, shipped, "lock.json"), "utf8"));
for (const entry of Object.values(lock.packages))
  entry.file_name = join(LIVE, shipped, entry.file_name);
const lockFileURL = join(downloaded, "lock.json");
writeFileSync(lockFileURL, JSON.stringify(lock));
const { loadPyodide } = await import(join(LIVE, runtime, "pyodide.mjs"));
const pyodide = await loadPyodide({ indexURL: join(LIVE, runtime) + "/", lockFileURL });
const wheels = readdirSync(downloaded).filter((name) => name.endsWith(".whl"));
await pyodide.loadPackage(
  [...Object.keys(lock.packages), ...wheels.map((name) => join(downloaded, name))],
  { messageCallback: () => {} },
);
for (const folder of ["tests", "docs/course"]) {
  pyodide.FS.mkdirTree("/repo/" + folder);
  pyodide.FS.mount(pyodide.FS.filesystems.NODEFS, { root: join(ROOT, folder) }, "/repo/" + folder);
}
pyodide.FS.writeFile("/repo/pyproject.toml", readFileSync(join(ROOT, "pyproject.toml")));
pyodide.FS.writeFile("/repo/conftest.py", `
from hypothesis import HealthCheck, settings
settings.register_profile("browser", max_examples=5, deadline=None, derandomize=True,
    database=None, suppress_health_check=list(HealthCheck))

def pytest_configure():
    settings.load_profile("browser")
`);

const deselected = (tests) => Object.values(tests).flat().map((test) => `--deselect=${test}`);
const given = process.argv.slice(2);
const core = ["tests/autograd", "tests/ops", "tests/nn", "tests/train/test_confusion.py"];
const runs = given.length
  ? [given]
  : [core, ["-m", "slow", LESSONS]].map((words) => [...words, ...deselected(UNASKED)]);
pyodide.globals.set("runs", pyodide.toPy(runs.map((words) => [
  "-q", "-m", "not slow", "--durations=8", "--capture=sys", "-p", "no:cacheprovider",
  "-p", "no:faulthandler", "-p", "no:hypothesispytest", ...deselected(WITHOUT), ...words,
]))); // prettier-ignore
process.exitCode = pyodide.runPython(`
import os, sys
sys.dont_write_bytecode = True
os.chdir("/repo")
import minigrad, pytest
assert "site-packages" in minigrad.__file__
max(int(pytest.main(words)) for words in runs)
`);
