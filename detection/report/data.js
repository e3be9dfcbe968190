/* The page of a data set: puts its data into the charts and the galleries. */
"use strict";

const data = pageData();
const KINDS = {
  object: { title: "Object", colour: "green" },
  unreached: { title: "No anchor reaches it", colour: "red", means: () => "object" },
  ignored: { title: "Ignored", colour: "grey" },
  anchor: { title: "Positive anchor", colour: "blue" },
  positive: { title: "Positive region", colour: "teal" },
  negative: { title: "Negative region", colour: "orange" },
};
const FLAGS = [
  ["crowd", "Crowds"],
  ["difficult", "Difficult"],
  ["ignored", "Ignored in training"],
  ["no area", "Without area"],
];

// Charts.

histogram("side-chart", "Sides", "COCO's small ones end at 32, its large ones begin at 96.", "Root of the area, pixels",
  data.sides, (low, high, count) => `${short(low)} to ${short(high)} pixels: ${whole(count)} boxes`);
histogram("ratio-chart", "Aspect ratios", "Below 1 they are higher than wide.", "Width / height",
  data.ratios, (low, high, count) => `${short(low)} to ${short(high)}: ${whole(count)} boxes`);
histogram("number-chart", "Boxes in a picture", "How many pictures have so many.", "Boxes",
  data.per_picture, (low, high, count) => `${high - low <= 1 ? low : `${low} to ${high - 1}`} boxes: ${whole(count)} pictures`);

// Pictures.

const SIZES = {
  title: "Size",
  all: "All sizes",
  options: ["small", "medium", "large"].map((size) => ({ title: size, box: (box) => box.size === size })),
};
const numberOf = (picture) => picture.objects.length;
const smallest = (picture) =>
  picture.objects.reduce((least, { box: [x1, y1, x2, y2] }) => Math.min(least, (x2 - x1) * (y2 - y1)), Infinity);

let shownPictures = null;
at("picture-place", (place) => {
  const boxes = data.pictures.flatMap((picture) => picture.objects);
  const flags = FLAGS.filter(([flag]) => boxes.some((box) => box.flags.includes(flag)));
  const kinds = [
    { title: "with boxes", picture: (picture) => numberOf(picture) > 0 },
    { title: "empty", picture: (picture) => numberOf(picture) === 0 },
  ];
  if (data.pictures.some((picture) => picture.findings)) {
    kinds.push({ title: "with findings", picture: (picture) => picture.findings > 0 });
  }
  const numbers = new Map(data.pictures.map((picture, i) => [picture, i]));
  shownPictures = gallery(place, {
    pictures: data.pictures,
    layers: [{ key: "objects", title: "Boxes" }],
    names: data.names,
    choiceTitle: "Split",
    filters: [
      { title: "Pictures", all: "All", options: kinds },
      SIZES,
      ...(flags.length
        ? [
            {
              title: "Flag",
              all: "Any",
              options: [
                ...flags.map(([flag, title]) => ({ title, box: (box) => box.flags.includes(flag) })),
                { title: "None", box: (box) => !box.flags.length },
              ],
            },
          ]
        : []),
    ],
    sorts: [
      { title: "as in the data set", by: (picture) => numbers.get(picture) },
      { title: "most boxes first", by: (picture) => -numberOf(picture) },
      { title: "fewest boxes first", by: numberOf },
      { title: "smallest box first", by: smallest },
    ],
  });
});

// Mini-batches.

at("batch-place", (place) => {
  const has = (key) => data.batches.some((picture) => picture[key].length);
  gallery(place, {
    pictures: data.batches,
    layers: [
      { key: "objects", title: "Objects" },
      ...(has("anchors") ? [{ key: "anchors", title: "Anchors" }] : []),
      ...(has("regions") ? [{ key: "regions", title: "Regions" }] : []),
    ],
    verdicts: KINDS,
    choiceTitle: "Mini-batch",
    filters: [SIZES],
  });
});

// A class's name in the table chooses its pictures; a finding opens the one that it names.

at("class-table", (table) =>
  table.addEventListener("click", (event) => {
    const button = event.target.closest("button.link");
    if (button) shownPictures?.select({ name: button.textContent });
  }),
);
at("findings", (section) =>
  section.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-picture]");
    if (button) shownPictures?.open(data.pictures[Number(button.dataset.picture)]);
  }),
);
