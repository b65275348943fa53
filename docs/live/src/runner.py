"""Runs the cells of a page. What they print and show goes to the page in pieces, while they run."""

import ast
import base64
import builtins
import linecache
import sys
import time
import traceback

from minigrad_page import send  # from worker.js

LIMIT = 100_000  # characters of one run that the page shows
PAUSE = 0.05  # seconds: a loop that prints must not flood the page with messages

space = sys.modules["__main__"].__dict__


class Output:
    """What one run writes, in order."""

    def __init__(self):
        self.kind, self.waiting, self.length, self.last = "", [], 0, 0.0

    def write(self, kind, text):
        if kind != self.kind:
            self.flush()
            self.kind = kind
        if self.length <= LIMIT:
            self.length += len(text)
            self.waiting.append(text)
        if time.monotonic() - self.last > PAUSE:
            self.flush()

    def flush(self):
        text, self.waiting, self.last = "".join(self.waiting), [], time.monotonic()
        if self.length > LIMIT:
            text += "\n… and more, which is not shown\n" if text else ""
        if text:
            send(self.kind, text)

    def show(self, html):
        self.flush()
        self.length += len(html)
        if self.length <= LIMIT * 50:  # pictures are long
            send("html", html)


class Stream:
    """`sys.stdout` or `sys.stderr`."""

    encoding, errors, closed = "utf-8", "strict", False

    def __init__(self, kind):
        self.kind = kind

    def write(self, text):
        output.write(self.kind, text)
        return len(text)

    def flush(self):
        output.flush()

    def isatty(self):
        return False


output = Output()
sys.stdout, sys.stderr = Stream("out"), Stream("err")


def png(data):
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(data).decode()}">'


def display(*values):
    """Show values as a notebook does: as a picture or a table if they know how, else as text."""
    for value in values:
        for method, html in (("_repr_svg_", str), ("_repr_html_", str), ("_repr_png_", png)):
            made = None if isinstance(value, type) else getattr(value, method, lambda: None)()
            if made:
                output.show(html(made))
                break
        else:
            print(repr(value))


builtins.display = display


def compiled(source, name):
    """Return a cell's statements, and its last expression, whose value is shown."""
    tree = ast.parse(source, name)
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr) and not source.rstrip().endswith(";"):
        last = compile(ast.Expression(tree.body.pop().value), name, "eval")
    return compile(tree, name, "exec"), last


def run(source, name):
    """Run a cell in the names of the page; return nothing, or in a line what went wrong."""
    global output
    output = Output()
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    try:
        body, last = compiled(source, name)
        exec(body, space)
        if last and (value := eval(last, space)) is not None:
            display(value)
    except KeyboardInterrupt:
        return "Stopped. The names of this page keep their values."
    except BaseException as error:
        # Frames of this file tell a reader nothing; a syntax error has no other.
        frames = error.__traceback__.tb_next
        own = isinstance(error, SyntaxError) and error.filename == name
        lines = traceback.format_exception(type(error), error, None if own else frames)
        output.write("error", "".join(lines))
        return said(error)
    finally:
        output.flush()
    return ""


def said(error):
    """Return the last line of a traceback."""
    return traceback.format_exception_only(error)[-1].strip()


def check(source, name):
    """Run an exercise's hidden check; return nothing if the answer is right, or the hint."""
    try:
        exec(compile(source, name, "exec"), dict(space))
    except AssertionError as error:
        return str(error) or "not yet"
    except BaseException as error:
        return f"your code ended with {said(error)}"
    finally:
        output.flush()
    return ""
