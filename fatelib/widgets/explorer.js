// Draws a labelled grid that was computed in Python: heat map or curves, linked slices, read-out.
// It knows the numbers, their labels and their limits, and nothing of what they mean.

const WIDE = 560; // narrower than this, the slices go below one another

function decode(base64, step) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const codes = new DataView(bytes.buffer);
  const special = { 32767: Infinity, [-32767]: -Infinity, [-32768]: NaN };
  return Float64Array.from({ length: bytes.length / 2 }, (_, i) => {
    const code = codes.getInt16(2 * i, true);
    return special[code] ?? code * step;
  });
}

// Geometry ------------------------------------------------------------------------------------

// A drawn dimension on [0, 1]: where entries sit, where their cells end, which one is nearest.
function unitScale({ values, log }) {
  const at = log ? Math.log : Number;
  const v = values.map(at);
  const inner = v.slice(1).map((value, i) => (value + v[i]) / 2);
  const low = v[0] - (inner[0] - v[0]);
  const high = last(v) + (last(v) - last(inner));
  const unit = (value) => (value - low) / (high - low);
  const edges = [low, ...inner, high].map(unit);
  return {
    centres: v.map(unit),
    edges,
    at: (value) => unit(at(value)),
    nearest: (u) => clamp(edges.filter((edge) => edge <= u).length - 1, 0, v.length - 1),
  };
}

// Where a grid changes sign: the boundary of its positive and of its negative cells, which are one
// line unless the grid is zero on a whole region. Marching squares on the cell centres. Where all is
// fainter than `faint`, signs are those of rounding errors.
function zeroContour(grid, xs, ys, faint, place) {
  const columns = xs.length;
  const segments = [];
  for (const sign of [1, -1]) {
    for (let j = 0; j + 1 < ys.length; j += 1) {
      for (let i = 0; i + 1 < columns; i += 1) {
        const corners = [[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1]];
        const values = corners.map(([a, b]) => sign * grid[b * columns + a]);
        if (!values.every(Number.isFinite) || values.every((value) => Math.abs(value) < faint)) continue;
        const inside = values.map((value) => value > 0);
        const crossings = [];
        for (let k = 0; k < 4; k += 1) {
          const next = (k + 1) % 4;
          if (inside[k] === inside[next]) continue;
          const t = values[k] / (values[k] - values[next]);
          const between = (array, a, b) => array[a] + t * (array[b] - array[a]);
          crossings.push(place(
            between(xs, corners[k][0], corners[next][0]), between(ys, corners[k][1], corners[next][1]),
          ));
        }
        // One corner has the sign and the others are zero: the boundary runs through all three.
        const one = inside.indexOf(true);
        const far = corners[(one + 2) % 4];
        if (values.filter((value) => value === 0).length === 3 && one >= 0) {
          const corner = place(xs[far[0]], ys[far[1]]);
          segments.push([crossings[0], corner], [corner, crossings[1]]);
          continue;
        }
        // Four crossings: a saddle; the sign in the middle says which corners are joined.
        const middle = values.reduce((a, b) => a + b) > 0;
        const pairs = crossings.length < 4 ? [[0, 1]] : inside[0] === middle ? [[0, 1], [2, 3]] : [[3, 0], [1, 2]];
        if (crossings.length) for (const [a, b] of pairs) segments.push([crossings[a], crossings[b]]);
      }
    }
  }
  return segments.map(([a, b]) => `M${a.map((v) => v.toFixed(1))}L${b.map((v) => v.toFixed(1))}`).join("");
}

// The parts of a curve where it is finite, as lists of [along, value].
function finiteRuns(centres, values) {
  const runs = [[]];
  values.forEach((value, i) => {
    if (Number.isFinite(value)) last(runs).push([centres[i], value]);
    else if (last(runs).length) runs.push([]);
  });
  return runs.filter((run) => run.length);
}

// The widget ----------------------------------------------------------------------------------

function render({ model, el }) {
  const figure = model.get("figure");
  const { dims, value, x, y, lines, sliders } = figure;
  const vertical = y ?? lines;
  const values = decode(model.get("values"), figure.step);
  const columns = dims[x].labels.length;
  const rows = vertical ? dims[vertical].labels.length : 1;
  const scales = { x: unitScale(dims[x]), y: y ? unitScale(dims[y]) : null };
  const uid = `fatelib-${Math.random().toString(36).slice(2)}`;
  let preview = {}; // where the pointer is, until it is released or leaves
  let layout = null;
  let dark = false;

  const chosen = (dim) =>
    clamp(preview[dim] ?? model.get("position")[dim] ?? 0, 0, dims[dim].labels.length - 1);
  const offset = () => sliders.reduce((sum, dim) => sum * dims[dim].labels.length + chosen(dim), 0) * rows * columns;
  const grid = () => values.subarray(offset(), offset() + rows * columns);
  const valueAt = (row, column) => grid()[row * columns + column];

  function say(number) {
    if (Number.isNaN(number)) return figure.missing;
    if (!Number.isFinite(number)) return number > 0 ? "infinite" : figure.log ? "0" : "infinite, negative";
    return figure.log ? significant(2 ** number) : decimals(number, figure.digits);
  }

  function choose(change) {
    preview = {};
    model.set("position", { ...model.get("position"), ...change });
    model.save_changes();
    draw();
  }

  // Controls ----------------------------------------------------------------------------------

  const controls = sliders.map((dim) => control(
    `${uid}-${dim.replace(/\W/g, "-")}`, dims[dim], () => chosen(dim), (index) => choose({ [dim]: index }),
  ));

  const readout = html("div", { id: `${uid}-readout`, class: "readout", role: "status", "aria-live": "polite", "aria-atomic": "true" });
  const canvas = html("canvas", { "aria-hidden": "true" });
  const back = svg("svg", { "aria-hidden": "true", focusable: "false" });
  const front = svg("svg", { "aria-hidden": "true", focusable: "false" });
  const keys = y
    ? "Arrow keys move the point"
    : `Left and right move the point${lines ? ", up and down change the curve" : ""}`;
  const main = html("div", {
    class: "hit",
    tabindex: 0,
    role: "application",
    "aria-describedby": `${uid}-readout`,
    "aria-roledescription": y ? "heat map" : "plot",
    "aria-label": `${plainName(value)} against ${plainName(dims[x])}`
      + `${y ? ` and ${plainName(dims[y])}` : ""}. ${keys}, with Shift by five; Home and End go to the ends.`,
  });
  const hit = () => html("div", { class: "hit" });
  const hits = y ? { main, below: hit(), beside: hit() } : { main };
  const plot = html("div", { class: "plot" }, canvas, back, front, ...Object.values(hits));
  const stage = html("div", { class: "stage" }, readout, plot);
  const root = html(
    "div", { class: `fatelib-widget${y ? "" : " curves"}`, role: "group", "aria-label": figure.title || plainName(value) },
    figure.title ? html("div", { class: "title" }, figure.title) : null,
    controls.length ? html("div", { class: "controls" }, controls.map((control) => control.node)) : null,
    stage,
  );
  el.append(root);

  // Layout: rectangles in CSS pixels ------------------------------------------------------------

  function arrange(width) {
    const left = 58;
    const right = 10;
    if (!y) {
      const main = { left, top: 10, width: width - left - right, height: clamp(width * 0.5, 210, 340) };
      return { main, height: main.top + main.height + 46 };
    }
    if (width >= WIDE) {
      const side = clamp(width * 0.24, 130, 190);
      const main = { left, top: 10, width: width - left - side - 34 };
      main.height = clamp(main.width * 0.8, 260, 420);
      const below = { left, top: main.top + main.height + 16, width: main.width, height: 110 };
      const beside = { left: left + main.width + 20, top: main.top, width: side, height: main.height };
      return { main, below, beside, wide: true, side: "bottom", height: below.top + below.height + 46 };
    }
    const main = { left, top: 10, width: width - left - right };
    main.height = clamp(main.width, 200, 360);
    const below = { left, top: main.top + main.height + 16, width: main.width, height: 96 };
    const beside = { left, top: below.top + below.height + 62, width: main.width, height: 96 };
    return { main, below, beside, side: "left", height: beside.top + beside.height + 46 };
  }

  // The scale of the values, of all of them or of the entry that is chosen along one slider.
  let limit, low, high, marks;
  function rescale() {
    ({ limit, range: [low, high], ticks: marks } = figure.by ? figure.scales[chosen(figure.by)] : figure);
  }
  rescale();

  const px = (rect, u) => rect.left + u * rect.width;
  const py = (rect, u) => rect.top + (1 - u) * rect.height;
  // Values far outside the axis would overflow the renderer; they are clipped there anyway.
  const unitValue = (number) => clamp((number - low) / (high - low), -50, 50);

  function ticks(rect, list, unit, side, lined = false) {
    const below = side === "bottom";
    const length = lined ? 9 : 5; // the colour scale is seven wide
    const room = Math.max(below ? rect.width / 46 : rect.height / 22, 2);
    const every = Math.ceil(list.length / room);
    const anchor = Math.max(list.findIndex(([number]) => number === 0), 0);
    const marks = list.filter((_, i) => (i - anchor) % every === 0).map(([number, text]) => {
      const a = below ? px(rect, unit(number)) : rect.left;
      const b = below ? rect.top + rect.height : py(rect, unit(number));
      const end = below ? [a, b - rect.height] : [a + rect.width, b];
      return [
        lined ? svg("line", { class: "grid", x1: a, y1: b, x2: end[0], y2: end[1] }) : null,
        svg("line", { class: "tick", x1: a, y1: b, x2: below ? a : a - length, y2: below ? b + length : b }),
        svg("text", { class: below ? "label" : "label left", x: below ? a : a - 12, y: below ? b + 21 : b + 4 }, text),
      ];
    });
    return svg("g", {}, marks.flat());
  }
  const xName = (rect, name, short) =>
    svgName(name, { x: rect.left + rect.width / 2, y: rect.top + rect.height + 40 }, short);
  const yName = (rect, name, short) =>
    svgName(name, { transform: `translate(14 ${rect.top + rect.height / 2}) rotate(-90)` }, short);
  const path = (points) =>
    points.map((point, i) => `${i ? "L" : "M"}${point.map((side) => side.toFixed(1)).join(" ")}`).join("");
  const emphasis = (row) => (lines && row === chosen(lines) ? "on" : "");
  const frame = (rect) => svg("rect", { class: "frame", x: rect.left, y: rect.top, width: rect.width, height: rect.height });

  // What changes with the sliders and the width --------------------------------------------------

  function drawMap() {
    const { main, below, beside } = layout;
    const [current, ratio] = [grid(), window.devicePixelRatio || 1];
    Object.assign(canvas.style, { left: `${main.left}px`, top: `${main.top}px`, width: `${main.width}px`, height: `${main.height}px` });
    canvas.width = Math.round(main.width * ratio);
    canvas.height = Math.round(main.height * ratio);
    const context = canvas.getContext("2d");
    const snapX = scales.x.edges.map((u) => Math.round(u * canvas.width));
    const snapY = scales.y.edges.map((u) => Math.round((1 - u) * canvas.height));
    const hatched = { infinite: "", missing: "" };
    current.forEach((number, cell) => {
      const [row, column] = [Math.floor(cell / columns), cell % columns];
      const box = [snapX[column], snapY[row + 1], snapX[column + 1] - snapX[column], snapY[row] - snapY[row + 1]];
      if (Number.isFinite(number)) {
        context.fillStyle = colour(number, limit, dark);
        context.fillRect(...box);
      } else {
        const [a, b, w, h] = box.map((side) => side / ratio);
        hatched[Number.isNaN(number) ? "missing" : "infinite"] += `M${main.left + a} ${main.top + b}h${w}v${h}h${-w}z`;
      }
    });
    const contour = zeroContour(current, scales.x.centres, scales.y.centres, limit / 1000, (u, v) => [px(main, u), py(main, v)]);
    back.replaceChildren(
      definitions(),
      svg("path", { class: "missing", d: hatched.missing }),
      svg("path", { fill: `url(#${uid}-hatch)`, d: hatched.infinite }),
      svg("path", { class: "contour", d: contour }),
      frame(main), ticks(main, dims[y].ticks, scales.y.at, "left"), yName(main, dims[y]),
      strip(below, "left"), ticks(below, marks, unitValue, "left", true), yName(below, value, true),
      ticks(below, dims[x].ticks, scales.x.at, "bottom"), xName(below, dims[x]),
      strip(beside, layout.side), ticks(beside, marks, unitValue, layout.side, true),
      layout.wide ? xName(beside, value, true) : yName(beside, value, true),
      layout.wide ? "" : ticks(beside, dims[y].ticks, scales.y.at, "bottom"),
      layout.wide ? "" : xName(beside, dims[y]),
    );
  }

  function drawCurves() {
    const { main } = layout;
    const curves = Array.from({ length: rows }, (_, row) => {
      const runs = finiteRuns(scales.x.centres, [...grid().subarray(row * columns, (row + 1) * columns)]);
      const d = runs.map((run) => path(run.map(([u, v]) => [px(main, u), py(main, unitValue(v))]))).join("");
      return svg("path", { class: `curve c${row} ${emphasis(row)}`, d });
    });
    back.replaceChildren(
      definitions(),
      ticks(main, marks, unitValue, "left", true), yName(main, value),
      ticks(main, dims[x].ticks, scales.x.at, "bottom"), xName(main, dims[x]),
      figure.log ? "" : zeroLine(main, "left"),
      svg("g", { "clip-path": `url(#${uid}-main)` }, curves),
    );
  }

  function definitions() {
    const stops = Array.from({ length: 41 }, (_, i) => low + ((high - low) * i) / 40);
    const gradient = (id, box) => svg("linearGradient", { id: `${uid}-${id}`, ...box },
      stops.map((stop, i) => svg("stop", { offset: i / 40, "stop-color": colour(stop, limit, dark) })));
    const clip = (id, rect) => svg("clipPath", { id: `${uid}-${id}` },
      svg("rect", { x: rect.left, y: rect.top, width: Math.max(rect.width, 0), height: Math.max(rect.height, 0) }));
    const zero = unitValue(0);
    const halves = (id, rect, side) => (side === "left"
      ? [clip(`${id}-plus`, { ...rect, height: (1 - zero) * rect.height }),
        clip(`${id}-minus`, { ...rect, top: py(rect, zero), height: zero * rect.height })]
      : [clip(`${id}-plus`, { ...rect, left: px(rect, zero), width: (1 - zero) * rect.width }),
        clip(`${id}-minus`, { ...rect, width: zero * rect.width })]);
    return svg("defs", {},
      gradient("left", { x1: 0, x2: 0, y1: 1, y2: 0 }), gradient("bottom", { x1: 0, x2: 1, y1: 0, y2: 0 }),
      svg("pattern", { id: `${uid}-hatch`, class: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
        svg("rect", { width: 6, height: 6 }), svg("line", { y2: 6 })),
      clip("main", layout.main),
      y ? [clip("below", layout.below), clip("beside", layout.beside), halves("below", layout.below, "left"),
        halves("beside", layout.beside, layout.side)] : null);
  }

  // The colour scale lies along the value axis of each slice.
  const strip = (rect, side) => svg("rect", side === "left"
    ? { class: "strip", fill: `url(#${uid}-left)`, x: rect.left - 7, y: rect.top, width: 7, height: rect.height }
    : { class: "strip", fill: `url(#${uid}-bottom)`, x: rect.left, y: rect.top + rect.height, width: rect.width, height: 7 });
  const zeroLine = (rect, side) => svg("line", side === "left"
    ? { class: "zero", x1: rect.left, x2: rect.left + rect.width, y1: py(rect, unitValue(0)), y2: py(rect, unitValue(0)) }
    : { class: "zero", y1: rect.top, y2: rect.top + rect.height, x1: px(rect, unitValue(0)), x2: px(rect, unitValue(0)) });

  // What changes with the point ------------------------------------------------------------------

  // Values along one dimension; `side` is where the value axis is.
  function slice(id, rect, scale, numbers, index, side) {
    const spot = (u, v) => (side === "left" ? [px(rect, u), py(rect, v)] : [px(rect, v), py(rect, u)]);
    const runs = finiteRuns(scale.centres, numbers);
    const line = runs.map((run) => path(run.map(([u, v]) => spot(u, unitValue(v))))).join("");
    const zero = unitValue(0);
    const area = runs.map((run) => `${path([
      spot(run[0][0], zero), ...run.map(([u, v]) => spot(u, unitValue(v))), spot(last(run)[0], zero),
    ])}Z`).join("");
    const gaps = numbers.map((number, i) => {
      if (Number.isFinite(number)) return null;
      const [a, b] = [spot(scale.edges[i], 0), spot(scale.edges[i + 1], 1)];
      const box = { x: Math.min(a[0], b[0]), y: Math.min(a[1], b[1]), width: Math.abs(a[0] - b[0]), height: Math.abs(a[1] - b[1]) };
      return Number.isNaN(number) ? svg("rect", { class: "missing", ...box }) : svg("rect", { fill: `url(#${uid}-hatch)`, ...box });
    });
    const [cx, cy] = spot(scale.centres[index], unitValue(numbers[index]));
    const inside = Number.isFinite(numbers[index]) && numbers[index] >= low && numbers[index] <= high;
    return svg(
      "g", {}, gaps,
      svg("path", { class: "plus", d: area, "clip-path": `url(#${uid}-${id}-plus)` }),
      svg("path", { class: "minus", d: area, "clip-path": `url(#${uid}-${id}-minus)` }),
      zeroLine(rect, side),
      svg("path", { class: "slice", d: line, "clip-path": `url(#${uid}-${id})` }),
      inside ? svg("circle", { class: "point", cx, cy, r: 4.5, style: `fill:${colour(numbers[index], limit, dark)}` }) : null,
    );
  }

  const upright = ({ top, height }, at, kind = "") =>
    svg("line", { class: `cross ${kind}`, x1: at, x2: at, y1: top, y2: top + height });
  const level = ({ left, width }, at, kind = "") =>
    svg("line", { class: `cross ${kind}`, y1: at, y2: at, x1: left, x2: left + width });

  const paint = (number) => (Number.isFinite(number) ? colour(number, limit, dark) : "");

  // The read-out, with the label of every dimension and the number of every row that is shown.
  function tell(label, number) {
    const unit = unitOf(value);
    const entries = html("div", { class: "entries" },
      [x, y, ...sliders].filter(Boolean).map((dim) => entry(dims[dim], label(dim))));
    if (y) {
      const row = chosen(y);
      readout.replaceChildren(
        html("div", { class: "what" }, value.symbol ? value.name : ""),
        html("div", { class: "value" },
          html("span", { class: "swatch", style: `background:${paint(valueAt(row, chosen(x)))}` }),
          htmlName(value, true), ` = ${number(row)}${unit}`),
        entries,
      );
      return;
    }
    const curveName = (row) => {
      if (!lines) return [htmlName(value, true), " = "];
      const { text, labels } = dims[lines];
      return [text ? "" : htmlName(dims[lines], true), text ? "" : " = ", `${labels[row]}: `];
    };
    readout.replaceChildren(
      entries,
      html("div", { class: "lines" }, Array.from({ length: rows }, (_, row) => html(
        "span", { class: `line ${emphasis(row)}` }, html("span", { class: `swatch c${row}` }), ...curveName(row),
        html("b", {}, `${number(row)}${unit}`),
      ))),
    );
  }

  // The read-out gets the height of the longest there can be: what is below must not move while a
  // finger is on it.
  function makeRoom() {
    const longest = (texts) => texts.reduce((a, b) => (b.length > a.length ? b : a));
    const row = (index) => [...grid().subarray(index * columns, (index + 1) * columns)].map(say);
    readout.style.minHeight = "";
    tell((dim) => longest(dims[dim].labels), (index) => longest(row(index)));
    readout.style.minHeight = `${readout.offsetHeight}px`;
  }

  function drawPoint() {
    const column = chosen(x);
    const { main, below, beside, wide, side } = layout;
    const cx = px(main, scales.x.centres[column]);
    tell((dim) => dims[dim].labels[chosen(dim)], (row) => say(valueAt(row, column)));
    if (y) {
      const row = chosen(y);
      const cy = py(main, scales.y.centres[row]);
      const v = scales.y.centres[row];
      const number = valueAt(row, column);
      const across = [...grid().subarray(row * columns, (row + 1) * columns)];
      const along = Array.from({ length: rows }, (_, j) => valueAt(j, column));
      const cross = (kind) => [upright(main, cx, kind), level(main, cy, kind)];
      front.replaceChildren(
        ...cross("halo"), ...cross("on-map"),
        svg("circle", { class: "point halo", cx, cy, r: 6 }),
        svg("circle", { class: "point on-map", cx, cy, r: 6, style: `fill:${paint(number)}` }),
        upright(below, cx), wide ? level(beside, cy) : upright(beside, px(beside, v)),
        slice("below", below, scales.x, across, column, "left"),
        slice("beside", beside, scales.y, along, row, side),
      );
      return;
    }
    const dots = Array.from({ length: rows }, (_, row) => {
      const number = valueAt(row, column);
      if (!Number.isFinite(number) || number < low || number > high) return null;
      return svg("circle", { class: `dot c${row}`, cx, cy: py(main, unitValue(number)), r: emphasis(row) ? 5.5 : 4 });
    });
    front.replaceChildren(upright(main, cx), ...dots.filter(Boolean));
  }

  let drawn = "";
  function draw() {
    if (!layout) return;
    dark = isDark(root);
    root.classList.toggle("dark", dark);
    rescale();
    controls.forEach((control) => control.update());
    // The map is redrawn only when it shows something else: moving the point stays cheap.
    const key = [dark, layout.width, window.devicePixelRatio, offset(), lines ? chosen(lines) : ""].join();
    const anew = key !== drawn;
    drawn = key;
    if (anew && y) drawMap();
    else if (anew) drawCurves();
    if (anew) makeRoom();
    drawPoint();
    // Beside the plots, a long read-out must not lie over what follows.
    if (anew) stage.style.minHeight = layout.wide ? `${readout.offsetTop + readout.offsetHeight}px` : "";
  }

  function resize() {
    const width = stage.clientWidth;
    if (width < 120 || width === layout?.width) return;
    layout = { ...arrange(width), width };
    root.classList.toggle("wide", Boolean(layout.wide));
    readout.style.left = layout.wide ? `${layout.beside.left}px` : "";
    readout.style.top = layout.wide ? `${layout.below.top + 40}px` : "";
    for (const node of [back, front]) fill(node, { width, height: layout.height, viewBox: `0 0 ${width} ${layout.height}` }, []);
    for (const [name, node] of Object.entries(hits)) {
      const { left, top, width: w, height: h } = layout[name];
      Object.assign(node.style, { left: `${left}px`, top: `${top}px`, width: `${w}px`, height: `${h}px` });
    }
    draw();
  }

  // Pointer and keyboard --------------------------------------------------------------------------

  function pointAt(event, name) {
    const box = hits[name].getBoundingClientRect();
    const u = clamp((event.clientX - box.left) / box.width, 0, 1);
    const v = clamp(1 - (event.clientY - box.top) / box.height, 0, 1);
    if (name === "below") return { [x]: scales.x.nearest(u) };
    if (name === "beside") return { [y]: scales.y.nearest(layout.wide ? v : u) };
    const column = scales.x.nearest(u);
    if (y) return { [x]: column, [y]: scales.y.nearest(v) };
    if (!lines) return { [x]: column };
    const distance = (row) => {
      const away = Math.abs(unitValue(valueAt(row, column)) - v);
      return Number.isNaN(away) ? Infinity : away;
    };
    let nearest = chosen(lines);
    for (let row = 0; row < rows; row += 1) if (distance(row) < distance(nearest)) nearest = row;
    return { [x]: column, [lines]: nearest };
  }

  for (const [name, node] of Object.entries(hits)) {
    const look = (event) => { preview = pointAt(event, name); draw(); };
    const leave = () => { preview = {}; draw(); };
    node.addEventListener("pointerdown", look);
    node.addEventListener("pointermove", look);
    node.addEventListener("pointerup", (event) => choose(pointAt(event, name)));
    node.addEventListener("pointerleave", leave);
    node.addEventListener("pointercancel", leave); // a touch that turned out to scroll the page
  }

  main.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const far = event.shiftKey ? 5 : 1;
    const up = y ? far : -1; // curves are listed downwards
    const step = {
      ArrowLeft: [x, -far], ArrowRight: [x, far], ArrowDown: [vertical, -up], ArrowUp: [vertical, up],
      Home: [x, -Infinity], End: [x, Infinity],
    }[event.key];
    if (!step?.[0]) return;
    event.preventDefault();
    event.stopPropagation(); // Jupyter's own shortcuts use the same keys
    const [dim, by] = step;
    preview = {};
    choose({ [dim]: clamp(chosen(dim) + by, 0, dims[dim].labels.length - 1) });
  });

  model.on("change:position", draw);
  const observer = new ResizeObserver(resize);
  observer.observe(stage);
  resize();
  const unwatch = watchTheme(draw);
  return () => {
    observer.disconnect();
    unwatch();
    model.off("change:position", draw);
  };
}

export default { render };
