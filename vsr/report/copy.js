"use strict";
/* Buttons that copy a command; from the disk a browser may have no clipboard for pages. */
for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", async () => {
    const code = button.parentElement.querySelector("pre");
    const range = document.createRange();
    range.selectNodeContents(code);
    const chosen = window.getSelection();
    chosen.removeAllRanges();
    chosen.addRange(range);
    let copied = false;
    try { await navigator.clipboard.writeText(code.textContent); copied = true; }
    catch { copied = document.execCommand("copy"); }
    button.textContent = copied ? "Copied" : "Selected";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}
