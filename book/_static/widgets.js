// Shows the widgets of a page without a kernel; on pages with widgets only.
//
// The page holds their states as Jupyter writes them, and a mark where each is shown. A widget is
// drawn when the reader comes near: its module is imported from its state, and gets a model with
// what the modules of fatelib use of anywidget's.
(() => {
  const NEAR = "150% 0px"; // one and a half windows above and below what is in sight
  const [modules, sheets, models] = [new Map(), new Set(), new Map()];
  let states = null;

  const scripts = (kind) =>
    [...document.querySelectorAll(`script[type="application/vnd.jupyter.widget-${kind}+json"]`)];
  const held = (script) => JSON.parse(script.textContent);
  const once = (map, key, make) => (map.has(key) ? map : map.set(key, make())).get(key);

  function stateOf(id) {
    states ??= Object.assign({}, ...scripts("state").map((script) => held(script).state));
    if (!states[id]) throw new Error("the page does not hold its state");
    const { model_module: from, model_name: name, state, buffers = [] } = states[id];
    if (from !== "anywidget") throw new Error(`the book shows widgets of anywidget, not ${name} of ${from}`);
    // What Python holds as bytes stands beside the rest, in base64, with its place.
    for (const { path, data } of buffers) {
      const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
      path.slice(0, -1).reduce((part, key) => part[key], state)[path.at(-1)] = new DataView(bytes.buffer);
    }
    return state;
  }

  // All views of a model share it, so that they move together. There is no kernel to tell.
  const modelOf = (id) => once(models, id, () => {
    const [state, listeners] = [stateOf(id), new Map()];
    const of = (event) => once(listeners, event, () => new Set());
    return {
      get: (key) => state[key],
      set: (key, value) => {
        if (state[key] === value) return;
        state[key] = value;
        for (const listener of [...of(`change:${key}`)]) listener();
      },
      save_changes: () => {},
      on: (event, listener) => of(event).add(listener),
      off: (event, listener) => of(event).delete(listener),
    };
  });

  // From a blob: a page that is opened as a file may import nothing else.
  const moduleOf = (text) => once(modules, text, async () => {
    const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    return import(url).finally(() => URL.revokeObjectURL(url));
  });

  function addStyle(text) {
    if (sheets.has(text)) return;
    sheets.add(text);
    document.head.append(Object.assign(document.createElement("style"), { textContent: text }));
  }

  // Labels that a widget marks as formulas. MathJax may not be there yet: it finds them when it is.
  const typeset = (labels) =>
    labels.length && window.MathJax?.startup?.promise?.then(() => window.MathJax.typesetPromise(labels));

  const waiting = new Map(); // places that are not drawn yet, with the model's name

  async function draw(place) {
    const id = waiting.get(place);
    if (!waiting.delete(place)) return;
    try {
      const model = modelOf(id);
      const { default: widget } = await moduleOf(model.get("_esm"));
      addStyle(model.get("_css"));
      await widget.render({ model, el: place });
      typeset([...place.querySelectorAll(".mathjax_process")]);
    } catch (error) {
      place.replaceChildren(document.createElement("p"));
      place.firstChild.textContent = `This figure cannot be drawn: ${error.message}`;
      console.error(error);
    }
    // Whoever came by keyboard goes on from the first thing that it reaches.
    if (document.activeElement === place) place.querySelector("a, button, input, select, [tabindex]")?.focus();
    for (const name of ["tabindex", "role", "aria-label", "style"]) place.removeAttribute(name);
  }

  function start() {
    const observer = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        observer.unobserve(target);
        draw(target);
      }
    }, { rootMargin: NEAR });
    for (const script of scripts("view")) {
      const place = document.createElement("div");
      place.className = "widget-subarea"; // as Jupyter's own manager calls it, for style sheets
      // Until it is drawn it has about its height, and keyboard and screen reader find it.
      place.style.minHeight = "30rem";
      place.tabIndex = 0;
      place.setAttribute("role", "group");
      place.setAttribute("aria-label", "Interactive figure");
      script.before(place);
      waiting.set(place, held(script).model_id);
      observer.observe(place);
    }
    // Paper shows all of them; printing waits for nothing, so that their modules are there before.
    window.addEventListener("beforeprint", () => [...waiting.keys()].forEach(draw));
    const prepare = async (id) => moduleOf(modelOf(id).get("_esm"));
    window.addEventListener("load", () => {
      for (const id of waiting.values()) prepare(id).catch(() => {}); // drawing it says why
    });
  }

  document.addEventListener("DOMContentLoaded", start);
})();
