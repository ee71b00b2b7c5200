// What scrolls sideways can be reached by the keyboard.
const boxes = "pre, .cell_output, .output, .table-wrapper, mjx-container, .math";
function reachable() {
  for (const box of document.querySelectorAll(boxes)) {
    if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
    else if (box.getAttribute("tabindex") === "0") box.removeAttribute("tabindex");
  }
}
new ResizeObserver(reachable).observe(document.documentElement);
window.addEventListener("load", reachable);
