// Runs before RequireJS and the widget manager, on pages with widgets only.
(() => {
  const vendor = new URL("vendor/", document.currentScript.src).href;
  // RequireJS reads its settings from here. Any anywidget is shown by the same module.
  window.require = { paths: { anywidget: `${vendor}anywidget/anywidget` } };
  window.__jupyter_widgets_assets_path__ = `${vendor}html-manager/`;
  // Font Awesome replaces <i> by <svg>; inside a widget that would remove an element it still uses.
  window.FontAwesomeConfig = { autoReplaceSvg: "nest" };
  // The widget manager typesets through MathJax 2's queue; the page has MathJax 3.
  window.MathJax = window.MathJax || {};
  window.MathJax.Hub = {
    Queue: ([, , element]) => window.MathJax.startup?.promise.then(() => window.MathJax.typesetPromise([element])),
  };
})();
