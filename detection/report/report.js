/* The report: puts the data into the charts, the matrix and the gallery of the page. */
"use strict";

const data = pageData();
const VERDICTS = {
  right: { title: "Right", colour: "green" },
  found: { title: "Found", colour: "green" },
  confused: {
    title: "Confused",
    colour: "purple",
    mistake: true,
    means: (box) => {
      const other = isolated(shortened(box.other ?? "?", 40));
      return box.score === null ? `taken for ${other}` : `confused with ${other}`;
    },
  },
  misplaced: { title: "Misplaced", colour: "orange", mistake: true },
  both: { title: "Class and place", colour: "pink", mistake: true },
  duplicate: { title: "Duplicate", colour: "teal", mistake: true },
  background: { title: "On background", colour: "blue", mistake: true },
  missed: { title: "Missed", colour: "red", mistake: true },
  uncounted: { title: "Not counted", colour: "grey" },
};
const LINES = [
  { colour: "blue" },
  { colour: "orange", dash: "7 4" },
  { colour: "purple", dash: "2 3" },
  { colour: "green" },
  { colour: "red", dash: "7 4" },
  { colour: "teal", dash: "2 3" },
  { colour: "pink" },
];
const hundredths = (value) => (100 * value).toFixed(1);
const within = (value) => (value === 0 ? "0" : value >= 0.001 && value < 1000 ? String(Number(value.toPrecision(3))) : value.toExponential(1));
const OF_100 = { low: 0, high: 1, format: hundredths, ticks: (value) => String(Math.round(100 * value)) };

// Precision and recall.

for (const curve of [...data.curves, ...data.classes.flatMap((one) => one.curves)]) {
  curve.recall ??= Array.from({ length: 101 }, (_, level) => level / 100);
}
let showCurve = () => {};

function curveLines(curves) {
  return curves.map((curve, i) => ({
    name: `IoU ${curve.iou.toFixed(2)}`,
    x: curve.recall,
    y: curve.precision,
    notes: curve.score?.map((score) => (score === null ? "" : `score ${score.toFixed(2)}`)),
    ...LINES[i % LINES.length],
  }));
}

function precisionChart(place, title, name, curves, marks) {
  place.replaceChildren();
  lineChart(place, {
    title,
    label: `${name}: precision against recall. Arrow keys read out values.`,
    lines: curveLines(curves),
    x: { ...OF_100, title: "Recall" },
    y: { ...OF_100, title: "Precision" },
    marks,
  });
}

at("mean-curves", (place) => {
  if (data.curves.some((curve) => curve.recall.length)) {
    precisionChart(place, "Mean of all classes", "Mean of all classes", data.curves, []);
  }
});
at("curve-class", (select) => {
  const classes = data.classes.filter((one) => one.curves.some((curve) => curve.recall.length));
  if (!classes.length) {
    select.closest(".chart-panel").remove();
    return;
  }
  classes.forEach((one, i) => select.append(element("option", { value: i }, shortened(one.name, 60))));
  const show = () => {
    const one = classes[Number(select.value)];
    const isMarked = one.threshold !== null && one.precision !== null && one.recall !== null;
    const mark = { x: one.recall, y: one.precision, text: `threshold ${(one.threshold ?? 0).toFixed(2)}` };
    const place = document.getElementById("class-curves");
    precisionChart(place, null, isolated(one.name), one.curves, isMarked ? [mark] : []);
  };
  select.addEventListener("change", show);
  show();
  showCurve = (name) => {
    const number = classes.findIndex((one) => one.name === name);
    if (number < 0) return;
    select.value = number;
    show();
  };
});

// Scores.

at("calibration-chart", (place) => {
  const bins = data.calibration;
  const edges = [...bins.map((bin) => bin.low), bins[bins.length - 1].high];
  const between = (bin) => `Score ${within(bin.low)} to ${within(bin.high)}: `;
  const x = { title: "Score", format: within };
  barChart(place, {
    title: "Right detections, %",
    label: "The share of right detections for each range of scores. Arrow keys read out values.",
    hint: "Bars: right. Lines: what the scores promise.",
    edges,
    bars: bins.map((bin) => ({
      height: bin.detections ? bin.right / bin.detections : null,
      mark: bin.score,
      read:
        between(bin) +
        (bin.detections
          ? `${hundredths(bin.right / bin.detections)} % right, ${hundredths(bin.score ?? 0)} % promised`
          : "no detections"),
    })),
    x,
    y: OF_100,
  });
  at("score-chart", (other) =>
    barChart(other, {
      title: "Number of detections",
      label: "The number of detections for each range of scores. Arrow keys read out values.",
      hint: "How many each bar stands for.",
      edges,
      bars: bins.map((bin) => ({
        height: bin.detections,
        read: `${between(bin)}${whole(bin.detections)} detections, ${whole(bin.right)} right`,
      })),
      x,
      y: { format: short },
    }),
  );
});

// Training.

function trainingChart(place, title, series, y, marks = []) {
  const filled = series.filter((one) => one.values.length);
  if (!filled.length) return;
  lineChart(place, {
    title,
    label: `${title} over the iterations. Arrow keys read out values.`,
    // Dashes would drown in the noise of losses.
    lines: filled.map((one, i) => ({
      name: one.name,
      x: one.iterations,
      y: one.values,
      colour: LINES[i % LINES.length].colour,
    })),
    x: { title: "Iteration", low: 0, format: whole, ticks: short },
    y,
    marks,
  });
}

at("loss-chart", (place) => {
  const { losses, rate, validation, best } = data.training;
  const values = losses.flatMap((one) => one.values).filter((one) => one > 0);
  const least = values.reduce((a, b) => Math.min(a, b), Infinity);
  const most = values.reduce((a, b) => Math.max(a, b), 0);
  // Losses that fall to a tenth would lie on the axis.
  const log = most > 10 * least;
  trainingChart(place, log ? "Losses (log scale)" : "Losses", losses, { log, format: within, low: log ? undefined : 0 });
  at("validation-chart", (other) => {
    const first = validation.find((one) => one.iterations.includes(best));
    const marks = first ? [{ x: best, y: first.values[first.iterations.indexOf(best)], text: "best" }] : [];
    trainingChart(other, "Validations", validation, { low: 0, format: hundredths, ticks: (one) => within(100 * one) }, marks);
  });
  at("rate-chart", (other) => trainingChart(other, "Learning rate", [rate], { low: 0, format: within }));
});

// Data.

if (data.sides) {
  histogram("side-chart", "Sides of the objects", "COCO's small ones end at 32, its large ones begin at 96.",
    "Root of the area, pixels", data.sides, (low, high, count) => `${within(low)} to ${within(high)} pixels: ${whole(count)} objects`);
}
if (data.per_picture) {
  histogram("number-chart", "Objects in a picture", "How many pictures have so many.", "Objects",
    data.per_picture, (low, high, count) => `${high - low <= 1 ? low : `${low} to ${high - 1}`} objects: ${whole(count)} pictures`);
}

// Pictures.

let shownPictures = null;
at("gallery-place", (place) => {
  const scores = data.pictures.flatMap((one) => one.detections.map((box) => box.score));
  shownPictures = gallery(place, {
    pictures: data.pictures.map((one) => ({
      ...one,
      note: one.mistakes === 1 ? "1 mistake" : `${one.mistakes} mistakes`,
    })),
    layers: [
      { key: "objects", title: "Ground truth", dashed: true },
      { key: "detections", title: "Detections" },
    ],
    verdicts: VERDICTS,
    names: data.classes.length ? data.classes.map((one) => one.name) : null,
    score: scores.length ? data.score : null,
  });
});

// Confusion.

at("matrix", (place) => {
  const { names } = data.confusion;
  const last = names.length;
  const choose = (r, c) => {
    if (r === last) shownPictures.select({ name: names[c], verdict: "background" });
    else if (c === last) shownPictures.select({ name: names[r], verdict: "missed" });
    else if (r === c) shownPictures.select({ name: names[r], verdict: "found" });
    else shownPictures.select({ name: names[r], other: names[c] });
  };
  const read = document.getElementById("matrix-read");
  confusionMatrix(place, { confusion: data.confusion, read, choose: shownPictures && choose });
});

// A class's name in the table chooses its curve and its pictures.

at("class-table", (table) =>
  table.addEventListener("click", (event) => {
    const button = event.target.closest("button.link");
    if (!button) return;
    const name = button.textContent;
    showCurve(name);
    shownPictures?.select({ name });
    (document.getElementById("curves") ?? document.getElementById("gallery"))?.scrollIntoView();
  }),
);
