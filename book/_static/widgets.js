// Runs before RequireJS and the widget manager, on pages with widgets only.
(() => {
  const vendor = new URL("vendor/", document.currentScript.src).href;
  // RequireJS reads its settings from here. Every anywidget is shown by the same module; the other
  // paths tell the widget manager where its fonts are.
  window.require = {
    paths: {
      anywidget: `${vendor}anywidget/anywidget`,
      "@jupyter-widgets/html-manager": `${vendor}html-manager/embed-amd`,
      "@jupyter-widgets/html-manager/dist": `${vendor}html-manager`,
    },
  };
  // The widget manager typesets labels through the queue of MathJax 2; the page has MathJax 3.
  window.addEventListener("load", () => {
    if (!window.MathJax) return;
    window.MathJax.Hub = {
      Queue: ([, , element]) => {
        element.classList.add("mathjax_process");
        window.MathJax.startup.promise.then(() => window.MathJax.typesetPromise([element]));
      },
    };
  });
})();
