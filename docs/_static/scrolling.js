// What does not fit into its box scrolls, and so must be in the reach of the keyboard.
function reach() {
  for (const box of document.querySelectorAll("pre, div.math, .table-wrapper")) {
    const tall = box.tagName === "PRE" && box.scrollHeight > box.clientHeight;
    if (tall || box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  }
}

addEventListener("load", reach);
addEventListener("resize", reach);
