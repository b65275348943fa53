// The editor of a cell: CodeMirror, coloured by the site's own Pygments style.

import { EditorView, drawSelection, keymap } from "@codemirror/view";
import { EditorState } from "@codemirror/state";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { python } from "@codemirror/lang-python";
import { bracketMatching, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { tagHighlighter, tags } from "@lezer/highlight";

// What Pygments calls it, so that an editor looks like the code that it replaces, light and dark.
const pygments = tagHighlighter([
  { tag: tags.keyword, class: "k" },
  { tag: [tags.operatorKeyword, tags.logicOperator], class: "ow" },
  { tag: [tags.bool, tags.null], class: "kc" },
  { tag: tags.moduleKeyword, class: "kn" },
  { tag: tags.string, class: "s2" },
  { tag: tags.special(tags.string), class: "s2" },
  { tag: tags.escape, class: "se" },
  { tag: tags.number, class: "mf" },
  { tag: tags.comment, class: "c1" },
  { tag: tags.function(tags.definition(tags.variableName)), class: "nf" },
  { tag: tags.definition(tags.className), class: "nc" },
  { tag: tags.operator, class: "o" },
  { tag: tags.punctuation, class: "p" },
  { tag: tags.meta, class: "nd" },
  { tag: tags.variableName, class: "n" },
]);

const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

// Return the editor's element; `run` is called for Shift or Ctrl with Enter, `changed` with the code.
export function edit({ code, label, describedBy, run, changed }) {
  const ran = () => (run(), true);
  return new EditorView({
    doc: code,
    extensions: [
      // CodeMirror itself lets Tab leave the editor after Escape.
      keymap.of([
        { key: "Shift-Enter", run: ran },
        { key: "Mod-Enter", run: ran },
        ...historyKeymap,
        indentWithTab,
        ...defaultKeymap,
      ]),
      history(),
      drawSelection({ cursorBlinkRate: still ? 0 : 1200 }),
      bracketMatching(),
      indentOnInput(),
      indentUnit.of("    "),
      EditorState.tabSize.of(4),
      python(),
      syntaxHighlighting(pygments),
      EditorView.contentAttributes.of({
        "aria-label": label,
        "aria-describedby": describedBy,
        spellcheck: "false",
        autocapitalize: "off",
        autocorrect: "off",
      }),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) changed(update.state.doc.toString());
      }),
    ],
  });
}

export function replace(view, code) {
  view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: code } });
}
