// A plane with the target fixed and the source to drag. Python has computed how long a vector
// fine-tuning guesses for every source; what is left is distances in the plane.

const [LEFT, RIGHT, TOP, SCALE] = [-1.35, 2.75, 1.45, 130]; // edges of the plane, pixels per unit
const [WIDTH, HEIGHT] = [(RIGHT - LEFT) * SCALE, 2 * TOP * SCALE];
const NAMES = {
  gain: { symbol: ["T", "ft"] }, tuned: { symbol: ["R", "ft"] }, scratch: { symbol: ["R", "scratch"] },
  theta: { symbol: ["θ", ""] }, kappa: { symbol: ["κ", ""] },
  source: { symbol: ["β", "s"] }, target: { symbol: ["β", "t"] }, guess: { symbol: ["κβ", "s"] },
};

const radians = (degrees) => (degrees * Math.PI) / 180;
const polar = (length, angle) => [length * Math.cos(angle), length * Math.sin(angle)];
const px = ([x, y]) => [(x - LEFT) * SCALE, (TOP - y) * SCALE];
const path = (points) => `M${points.map((point) => px(point).map((side) => side.toFixed(1))).join("L")}`;
const inside = ([x, y]) => x > LEFT && x < RIGHT && Math.abs(y) < TOP;

function render({ model, el }) {
  const { dims, gamma, length, scratch, title } = model.get("figure");
  const bytes = Uint8Array.from(atob(model.get("guess")), (character) => character.charCodeAt(0));
  const guesses = new Float32Array(bytes.buffer);
  const uid = `fatelib-${Math.random().toString(36).slice(2)}`;
  let preview = {}; // where the pointer has dragged the source, until it is released

  const chosen = (dim) => preview[dim] ?? model.get("position")[dim];
  const label = (dim) => dims[dim].labels[chosen(dim)];
  const guess = (i) => guesses[["depth", "sigma", "gamma"].reduce(
    (sum, dim) => sum * dims[dim].labels.length + chosen(dim), 0,
  ) * length.length + i];

  function choose(change) {
    preview = {};
    model.set("position", { ...model.get("position"), ...change });
    model.save_changes();
    draw();
  }

  // Elements ----------------------------------------------------------------------------------

  const sliders = ["gamma", "sigma", "depth"].filter((dim) => dims[dim].labels.length > 1);
  const controls = sliders.map((dim) => control(
    `${uid}-${dim}`, dims[dim], () => chosen(dim), (index) => choose({ [dim]: index }),
  ));
  const readout = html("div", { id: `${uid}-readout`, class: "readout", role: "status", "aria-live": "polite", "aria-atomic": "true" });
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true", focusable: "false" });
  const plane = html("div", { class: "hit" });
  const grip = html("div", {
    class: "grip",
    tabindex: 0,
    role: "application",
    "aria-roledescription": "vector",
    "aria-describedby": `${uid}-readout`,
    "aria-label": "Source vector. Left and right arrow keys turn it by one degree, up and down change its length, "
      + "with Shift by five steps; Home and End go to 0 and 180 degrees.",
  });
  const key = (kind, ...text) => html("span", { class: "entry" }, html("span", { class: `swatch ${kind}` }), ...text);
  const root = html(
    "div", { class: "fatelib-widget null-space", role: "group", "aria-label": title || "Null space of the data" },
    title ? html("div", { class: "title" }, title) : null,
    controls.length ? html("div", { class: "controls" }, controls.map(({ node }) => node)) : null,
    html("div", { class: "stage" }, readout, html("div", { class: "plot" }, picture, plane, grip)),
    html("div", { class: "entries legend" },
      key("source", htmlName(NAMES.source), ", the source: drag it"),
      key("guess", htmlName(NAMES.guess), ", what fine-tuning guesses"),
      key("disk", "guesses closer to ", htmlName(NAMES.target), " than 0"),
      key("region", "sources that help")),
  );
  el.append(root);

  // Drawing -----------------------------------------------------------------------------------

  // A region that goes on beyond the picture fades at its edge.
  const [fade, edge] = [px([RIGHT - 0.4, 0])[0], px([RIGHT, 0])[0]];
  const fading = svg("linearGradient", { id: `${uid}-fading`, gradientUnits: "userSpaceOnUse", x1: fade, x2: edge },
    [1, 0].map((opacity, i) => svg("stop", { class: "fading", offset: i, "stop-opacity": opacity })));

  // The sources that help: at every length those within the angle arccos(guess / 2), drawn with
  // eight points between two entries of length.
  function region() {
    const between = (entry, j) => {
      const i = Math.min(Math.floor(j / 8), length.length - 2);
      return entry(i) + (j / 8 - i) * (entry(i + 1) - entry(i));
    };
    const rim = [];
    for (let j = 0; j <= 8 * (length.length - 1); j += 1) {
      const over = between(guess, j) - 2;
      const back = over > 0 && j > 0 ? over / (over + 2 - between(guess, j - 1)) : 0; // to where it is 2
      rim.push([between((i) => length[i], j - back), Math.acos(Math.min(over, 0) / 2 + 1)]);
      if (over >= 0) break;
    }
    const half = (sign) => rim.map(([size, angle]) => polar(size, sign * angle));
    return `${path([[0, 0], ...half(1), ...half(-1).reverse()])}Z`;
  }

  function tag(name, [x, y], dx, dy) {
    const [left, top] = px([x, y]);
    return svgName(name, { x: left + dx, y: top + dy }, true);
  }

  function draw() {
    const dark = isDark(root);
    root.classList.toggle("dark", dark);
    controls.forEach(({ update }) => update());
    const [theta, i] = [radians(chosen("theta")), chosen("length")];
    const [reach, size] = [guess(i), length[i]];
    const unseen = 1 - gamma[chosen("gamma")];
    const gain = unseen * reach * (2 * Math.cos(theta) - reach);
    const risk = scratch[chosen("sigma")][chosen("gamma")];
    const even = Math.abs(gain) < 0.0005; // what three decimals show as zero
    const sign = even ? "" : gain > 0 ? "plus" : "minus";
    const source = polar(size, theta);
    const tip = polar(reach, theta);
    const [cx, cy] = px(source);
    const side = chosen("theta") < 0 ? 1 : -1; // labels stay clear of the vector and of the target's
    const aside = [-24 * Math.abs(Math.sin(theta)), 24 * side * Math.cos(theta) + 5];

    picture.replaceChildren(
      fading,
      svg("path", { class: "region", d: region(), style: `fill: url(#${uid}-fading)` }),
      ...[[[0, 0], "unit"], [[1, 0], "disk"]].map(([centre, kind]) => {
        const [x, y] = px(centre);
        return svg("circle", { class: kind, cx: x, cy: y, r: SCALE });
      }),
      svg("path", { class: "vector", d: path([[0, 0], [1, 0]]) }),
      svg("path", { class: `error ${sign}`, d: path([tip, [1, 0]]) }),
      svg("path", { class: "vector guess", d: path([[0, 0], tip]) }),
      svg("path", { class: "vector source", d: path([[0, 0], source]) }),
      ...[[0, 0], [1, 0]].map((point) => {
        const [x, y] = px(point);
        return svg("circle", { class: "end", cx: x, cy: y, r: 4.5 });
      }),
      svg("circle", { class: "handle", cx, cy, r: 10 }),
      svg("circle", { class: "tip", cx: px(tip)[0], cy: px(tip)[1], r: 6 }),
      tag({ symbol: ["0", ""] }, [0, 0], -14, 6), tag(NAMES.target, [1, 0], 4, side < 0 ? 24 : -12),
      tag(NAMES.source, source, ...aside),
      Math.abs(reach - size) > 0.3 ? tag(NAMES.guess, tip, ...aside) : "",
    );
    Object.assign(grip.style, { left: `${(100 * cx) / WIDTH}%`, top: `${(100 * cy) / HEIGHT}%` });

    const limit = reach < 2 && `up to ${decimals((Math.acos(reach / 2) * 180) / Math.PI, 1)}°`;
    const verdict = even ? "makes no difference" : gain > 0 ? `helps, ${limit}` : limit ? `hurts; it helps ${limit}` : "hurts at every angle";
    readout.replaceChildren(
      html("div", { class: "value" }, html("span", { class: "swatch", style: `background:${colour(gain, 1, dark)}` }),
        htmlName(NAMES.gain), ` = ${decimals(gain, 3)}`),
      html("div", {}, `Fine-tuning ${verdict}.`),
      html("div", { class: "entries" },
        entry(NAMES.scratch, decimals(risk, 3)), entry(NAMES.tuned, decimals(risk - gain, 3))),
      html("div", { class: "entries" },
        entry(NAMES.theta, `${decimals(Math.abs(chosen("theta")), 0)}°`),
        html("span", { class: "entry" }, "‖", htmlName(NAMES.source), `‖ = ${label("length")}`),
        entry(NAMES.kappa, decimals(reach / size, 3))),
      html("div", { class: "entries" }, ["gamma", "sigma", "depth"].map((dim) => entry(dims[dim], label(dim)))),
    );
  }

  // Pointer and keyboard ------------------------------------------------------------------------

  const nearest = (size) => length.reduce((best, entry, i) => (Math.abs(entry - size) < Math.abs(length[best] - size) ? i : best), 0);

  // The nearest source in view: whole degrees, entries of length.
  function place(theta, i) {
    let [turn, step] = [theta > 180 ? theta - 360 : theta < -180 ? theta + 360 : theta, clamp(i, 0, length.length - 1)];
    while (step > 0 && !inside(polar(length[step], radians(turn)))) step -= 1;
    return { theta: turn, length: step };
  }

  for (const node of [plane, grip]) {
    let grab = null; // from the pointer to the point it holds
    const held = (event) => {
      const box = picture.getBoundingClientRect();
      const x = LEFT + ((event.clientX + grab[0] - box.left) / box.width) * (RIGHT - LEFT);
      const y = TOP - ((event.clientY + grab[1] - box.top) / box.height) * 2 * TOP;
      return place(Math.round((Math.atan2(y, x) * 180) / Math.PI), nearest(Math.hypot(x, y)));
    };
    node.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      node.setPointerCapture(event.pointerId);
      const box = grip.getBoundingClientRect();
      grab = node === plane ? [0, 0]
        : [box.left + box.width / 2 - event.clientX, box.top + box.height / 2 - event.clientY];
      preview = held(event);
      draw();
    });
    node.addEventListener("pointermove", (event) => { if (grab) { preview = held(event); draw(); } });
    node.addEventListener("pointerup", (event) => { if (grab) { choose(held(event)); grab = null; } });
    // A touch that turned out to scroll the page.
    node.addEventListener("pointercancel", () => { grab = null; preview = {}; draw(); });
  }

  grip.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const far = event.shiftKey ? 5 : 1;
    const [theta, i] = [chosen("theta"), chosen("length")];
    const next = {
      ArrowLeft: [theta + far, i], ArrowRight: [theta - far, i], ArrowUp: [theta, i + far], ArrowDown: [theta, i - far],
      Home: [0, i], End: [180, i],
    }[event.key];
    if (!next) return;
    event.preventDefault();
    event.stopPropagation(); // Jupyter's own shortcuts use the same keys
    choose(place(...next));
  });

  model.on("change:position", draw);
  draw();
  const unwatch = watchTheme(draw);
  return () => {
    unwatch();
    model.off("change:position", draw);
  };
}

export default { render };
