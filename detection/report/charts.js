/*
Charts as plain SVG, drawn at the width there is.  (plotly would add 5 MB to each page.)

  lineChart(place, {title, label, lines, x, y, marks, height})
  barChart(place, {title, label, bars, edges, x, y, height})

lines   [{name, x: [], y: [], notes: [], colour, dash}]: colour one of base.css, dash as
        stroke-dasharray; null and what is not finite leave a gap; notes: what the read-out adds
x, y    {title, low, high, log, format, ticks}: bounds where the data shall not say them; format:
        (number) -> text; ticks: (number) -> text of the axis, where it is shorter
marks   [{x, y, text}]: a point with words
bars    [{height, read, mark}]: read: what the read-out says of it; mark: a line across it
edges   the numbers between the bars, one more than bars

A mouse, a finger or the arrow keys move a cursor; what lies there is read out over the chart.
*/
"use strict";

const LETTER = 6.6; // width of a digit of the axes, in pixels

function niceTicks(low, high, most) {
  const rough = (high - low || 1) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((one) => one >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  // Products, not sums: those would gather errors.
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

function logTicks(low, high, most) {
  const decades = Math.log10(high / low);
  const times = decades <= most / 2 ? [1, 2, 5] : [1];
  const skip = Math.max(1, Math.ceil(decades / most));
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += skip) {
    for (const one of times) found.push(one * 10 ** power);
  }
  return found.filter((one) => one >= low * 0.999 && one <= high * 1.001);
}

/** {at, ticks, format}: numbers from low to high on pixels from start to end. */
function scaleOf({ low, high, log = false, format, ticks }, start, end, most) {
  const by = log ? Math.log10 : (value) => value;
  const [a, b] = [by(low), by(high)];
  return {
    at: (value) => start + ((by(value) - a) / (b - a || 1)) * (end - start),
    ticks: log ? logTicks(low, high, most) : niceTicks(low, high, most),
    text: ticks ?? format ?? String,
  };
}

/** The frame of a chart: title, read-out, axes, and a cursor that goes from stop to stop. */
function chartFrame(place, { title, label, height = 240, legend, x, y, stops, draw, point }) {
  const read = element("div", { class: "read-out", "aria-live": "polite" });
  const drawing = drawn("svg", { class: "chart-drawing", tabindex: 0, role: "img", "aria-label": label });
  const figure = element("figure", { class: "chart" }, title ? element("figcaption", {}, title) : null, read, drawing);
  let cursor = null;
  let axes = null;

  function redraw() {
    const width = Math.max(200, Math.round(drawing.getBoundingClientRect().width));
    const bottom = height - (x.title ? 38 : 22);
    const top = y.title ? 24 : 10;
    const yAxis = scaleOf(y, bottom, top, Math.max(2, Math.floor(height / 45)));
    const left = 12 + LETTER * Math.max(...yAxis.ticks.map((one) => yAxis.text(one).length), 1);
    const xAxis = scaleOf(x, left, width - 12, Math.max(2, Math.floor(width / 90)));
    axes = { x: xAxis, y: yAxis, left, right: width - 12, top, bottom };
    reserve(stops(axes).length);
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    drawing.setAttribute("height", height);
    drawing.replaceChildren(...grid(), draw(axes), (axes.over = drawn("g", { class: "cursor" })));
    move(cursor);
  }

  /** What is read out may take more lines than the legend; nothing shall move under the mouse. */
  function reserve(count) {
    read.style.minHeight = "";
    read.replaceChildren(...legend(count ? Math.floor(count / 3) : null));
    read.style.minHeight = `${read.offsetHeight}px`;
  }

  function grid() {
    const { left, right, top, bottom } = axes;
    const parts = [];
    for (const one of axes.y.ticks) {
      const at = axes.y.at(one);
      parts.push(drawn("line", { class: "grid", x1: left, x2: right, y1: at, y2: at }));
      const place = { class: "tick", x: left - 6, y: at + 4, "text-anchor": "end" };
      parts.push(drawn("text", place, axes.y.text(one)));
    }
    for (const [at, text] of x.labels ? x.labels(axes) : axes.x.ticks.map((one) => [axes.x.at(one), axes.x.text(one)])) {
      const anchor = at > right - 14 ? "end" : at < left + 8 ? "start" : "middle";
      const shift = anchor === "end" ? 8 : anchor === "start" ? -4 : 0;
      parts.push(drawn("line", { class: "axis", x1: at, x2: at, y1: bottom, y2: bottom + 4 }));
      parts.push(drawn("text", { class: "tick", x: at + shift, y: bottom + 16, "text-anchor": anchor }, text));
    }
    parts.push(drawn("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }));
    if (y.title) parts.push(drawn("text", { class: "tick", x: 0, y: 11 }, y.title));
    if (x.title) {
      const middle = { class: "tick", x: (left + right) / 2, y: bottom + 33, "text-anchor": "middle" };
      parts.push(drawn("text", middle, x.title));
    }
    return parts;
  }

  function move(stop) {
    cursor = stop;
    axes.over.replaceChildren();
    read.replaceChildren(...legend(stop));
    if (stop !== null) axes.over.append(...point(stop, axes));
  }

  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * drawing.viewBox.baseVal.width;
    const places = stops(axes);
    let best = null;
    places.forEach((one, i) => {
      if (best === null || Math.abs(one - at) < Math.abs(places[best] - at)) best = i;
    });
    if (best !== cursor) move(best);
  });
  drawing.addEventListener("pointerleave", () => move(null));
  drawing.addEventListener("blur", () => move(null));
  drawing.addEventListener("keydown", (event) => {
    const last = stops(axes).length - 1;
    const leap = Math.max(1, Math.round(last / 20));
    const to = {
      ArrowRight: cursor === null ? 0 : Math.min(last, cursor + (event.shiftKey ? leap : 1)),
      ArrowLeft: cursor === null ? last : Math.max(0, cursor - (event.shiftKey ? leap : 1)),
      Home: 0,
      End: last,
    }[event.key];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    move(to);
  });
  place.append(figure);
  redraw();
  let before = drawing.getBoundingClientRect().width;
  new ResizeObserver(() => {
    const width = drawing.getBoundingClientRect().width;
    if (Math.abs(width - before) > 1) redraw();
    before = width;
  }).observe(figure);
}

function lineChart(place, { title, label, lines, x, y, marks = [], height }) {
  const isDrawn = (value) => Number.isFinite(value) && (!y.log || value > 0);
  const points = lines.map((line) =>
    line.x.map((at, i) => [at, line.y[i], line.notes?.[i] ?? ""]).filter(([at, value]) => Number.isFinite(at) && isDrawn(value)),
  );
  const flat = points.flat();
  const bounds = (axis, values, fallback) => ({
    ...axis,
    low: axis.low ?? values.reduce((a, b) => Math.min(a, b), fallback[0]),
    high: axis.high ?? values.reduce((a, b) => Math.max(a, b), fallback[1]),
  });
  const xs = [...new Set(flat.map(([at]) => at))].sort((a, b) => a - b);
  const xBounds = bounds(x, xs, [xs[0] ?? 0, xs[0] ?? 1]);
  const ys = flat.map(([, value]) => value);
  const yBounds = bounds(y, ys, y.log ? [ys[0] ?? 0.1, ys[0] ?? 1] : [0, 0]);
  if (yBounds.high <= yBounds.low) yBounds.high = yBounds.low + 1;
  const colour = (line) => `var(--${line.colour})`;

  function path(line, i, axes) {
    // A gap wherever a value in between is none.
    let pen = "M";
    const steps = line.x.map((at, k) => {
      if (!Number.isFinite(at) || !isDrawn(line.y[k])) {
        pen = "M";
        return "";
      }
      const step = `${pen}${axes.x.at(at).toFixed(1)} ${axes.y.at(line.y[k]).toFixed(1)}`;
      pen = "L";
      return step;
    });
    const attributes = { class: "line", d: steps.join(""), stroke: colour(line), "stroke-dasharray": line.dash };
    if (points[i].length > 1) return drawn("path", attributes);
    return drawn("g", {}, ...points[i].map((one) => dot(one, line, axes)));
  }

  const dot = ([at, value], line, axes) =>
    drawn("circle", { cx: axes.x.at(at), cy: axes.y.at(value), r: 3.5, fill: colour(line) });

  function nearest(i, at) {
    let best = null;
    for (const one of points[i]) {
      if (best === null || Math.abs(one[0] - at) < Math.abs(best[0] - at)) best = one;
    }
    // A line that has ended says nothing.
    return best && Math.abs(best[0] - at) <= (xBounds.high - xBounds.low) * 0.02 + 1e-9 ? best : null;
  }

  function drawMark(mark, axes) {
    const [cx, cy] = [axes.x.at(mark.x), axes.y.at(mark.y)];
    const toTheLeft = cx > axes.right - 8 * mark.text.length;
    const words = { class: "mark", x: cx + (toTheLeft ? -8 : 8), y: cy < 24 ? cy + 16 : cy - 8, "text-anchor": toTheLeft ? "end" : "start" };
    return [drawn("circle", { class: "mark-dot", cx, cy, r: 5 }), drawn("text", words, mark.text)];
  }

  chartFrame(place, {
    title,
    label,
    height,
    x: xBounds,
    y: yBounds,
    stops: (axes) => xs.map((one) => axes.x.at(one)),
    draw: (axes) =>
      drawn("g", {}, ...lines.map((line, i) => path(line, i, axes)), ...marks.flatMap((one) => drawMark(one, axes))),
    point: (stop, axes) => {
      const at = axes.x.at(xs[stop]);
      const found = lines.map((line, i) => [line, nearest(i, xs[stop])]).filter(([, one]) => one);
      const rule = drawn("line", { class: "rule", x1: at, x2: at, y1: axes.top, y2: axes.bottom });
      return [rule, ...found.map(([line, one]) => dot(one, line, axes))];
    },
    legend: (stop) => {
      const entries = lines.map((line, i) => {
        const one = stop === null ? null : nearest(i, xs[stop]);
        const sample = drawn("svg", { class: "sample", viewBox: "0 0 20 8", "aria-hidden": "true" },
          drawn("line", { class: "line", x1: 0, x2: 20, y1: 4, y2: 4, stroke: colour(line), "stroke-dasharray": line.dash }));
        const value = element("b", {}, one ? y.format(one[1]) : "");
        const note = one?.[2] ? ` ${one[2]}` : "";
        return element("span", { class: "entry" }, sample, element("bdi", {}, line.name), " ", value, note);
      });
      if (stop === null) return entries;
      return [element("span", { class: "entry at" }, `${x.title} `, element("b", {}, x.format(xs[stop]))), ...entries];
    },
  });
}

function barChart(place, { title, label, bars, edges, x, y, height, hint = "" }) {
  const highest = bars.reduce((most, bar) => Math.max(most, bar.height ?? 0, bar.mark ?? 0), 0);
  const width = (axes) => (axes.right - axes.left) / bars.length;
  const left = (i, axes) => axes.left + i * width(axes);

  function labels(axes) {
    // As many of the edges as there is room for.
    const room = LETTER * Math.max(...edges.map((edge) => x.format(edge).length)) + 12;
    const skip = Math.max(1, Math.ceil(room / width(axes)));
    const found = [];
    edges.forEach((edge, i) => {
      if (i % skip === 0) found.push([left(i, axes), x.format(edge)]);
    });
    return found;
  }

  function bar({ height: value, mark }, i, axes) {
    const gap = Math.min(2, width(axes) / 6);
    const [from, to] = [left(i, axes) + gap, left(i + 1, axes) - gap];
    const top = axes.y.at(value ?? 0);
    const parts = [
      drawn("rect", { class: "bar", x: from, width: to - from, y: top, height: Math.max(0, axes.bottom - top), rx: 1.5 }),
    ];
    if (Number.isFinite(mark)) {
      parts.push(drawn("line", { class: "bar-mark", x1: from, x2: to, y1: axes.y.at(mark), y2: axes.y.at(mark) }));
    }
    return drawn("g", {}, ...parts);
  }

  chartFrame(place, {
    title,
    label,
    height,
    x: { ...x, low: 0, high: bars.length, labels },
    y: { ...y, low: 0, high: y.high ?? (highest || 1) },
    stops: (axes) => bars.map((_, i) => left(i + 0.5, axes)),
    draw: (axes) => drawn("g", {}, ...bars.map((one, i) => bar(one, i, axes))),
    point: (stop, axes) => [
      drawn("rect", { class: "pointed-bar", x: left(stop, axes), width: width(axes), y: axes.top, height: axes.bottom - axes.top }),
    ],
    legend: (stop) => [element("span", {}, stop === null ? hint : bars[stop].read)],
  });
}
