// The button in the header shows or hides all folded code of a page; the browser remembers which.
(() => {
  const KEY = "folded-code";
  const folds = () => document.querySelectorAll("details.folded");
  const button = () => document.querySelector(".btn-folded-code");
  let shown = false;
  try {
    shown = localStorage.getItem(KEY) === "shown";
  } catch {} // a browser that keeps nothing

  const apply = () => {
    folds().forEach((fold) => (fold.open = shown));
    button()?.setAttribute("aria-pressed", shown);
  };

  window.toggleFoldedCode = () => {
    shown = !shown;
    try {
      localStorage.setItem(KEY, shown ? "shown" : "hidden");
    } catch {}
    apply();
  };

  // Opened while the page is read, before it is drawn: nothing jumps.
  const reading = new MutationObserver(apply);
  if (shown) reading.observe(document, { childList: true, subtree: true });
  document.addEventListener("DOMContentLoaded", () => {
    reading.disconnect();
    apply();
  });
})();
