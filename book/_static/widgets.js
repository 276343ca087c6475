// Shows the widgets of a page without a kernel; on pages with widgets only.
//
// The page holds their states as Jupyter writes them, and a mark where each is shown. A widget is
// drawn when the reader comes near: its module is imported from its state, and gets a model with
// what the modules of fatelib use of anywidget's.
(() => {
  const NEAR = 1.5; // windows above and below what is in sight
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

  // Until it is drawn, a place has about the height of a widget, and keyboard and screen reader find it.
  function placeFor(script) {
    const place = document.createElement("div");
    place.className = "widget-subarea"; // as Jupyter's own manager calls it, for style sheets
    place.style.minHeight = "30rem";
    place.tabIndex = 0;
    place.setAttribute("role", "group");
    place.setAttribute("aria-label", "Interactive figure");
    script.before(place);
    waiting.set(place, held(script).model_id);
    return place;
  }

  // Draws what the reader sees first; resolves when it is there.
  function start() {
    const observer = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        observer.unobserve(target);
        draw(target);
      }
    }, { rootMargin: `${100 * NEAR}% 0px` });
    const places = scripts("view").map(placeFor);
    places.forEach((place) => observer.observe(place));

    // Paper shows all of them; printing waits for nothing, so that their modules are there before.
    window.addEventListener("beforeprint", () => [...waiting.keys()].forEach(draw));
    const prepare = async (id) => moduleOf(modelOf(id).get("_esm"));
    window.addEventListener("load", () => {
      for (const id of waiting.values()) prepare(id).catch(() => {}); // drawing it says why
    });

    const aim = document.getElementById(decodeURIComponent(window.location.hash.slice(1)));
    const sight = aim?.getBoundingClientRect().top ?? 0;
    return Promise.all(places.filter((place) => {
      const { top, bottom } = place.getBoundingClientRect();
      return bottom > sight - NEAR * window.innerHeight && top < sight + (1 + NEAR) * window.innerHeight;
    }).map(draw));
  }

  // Ahead of the other scripts and of MathJax, which keeps a long page busy for a second.
  const first = new Promise((resolve) => {
    document.addEventListener("readystatechange", () => resolve(start()), { once: true });
  });
  if (window.MathJax) {
    const pageReady = () => first.then(() => window.MathJax.startup.defaultPageReady());
    window.MathJax.startup = { ...window.MathJax.startup, pageReady };
  }
})();
