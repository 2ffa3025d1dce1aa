import { paint, toLayer } from "./layers.js";

const element = (id) => document.getElementById(id);
const canvas = element("canvas"), context = canvas.getContext("2d", { willReadFrequently: true });
const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
const SMALLEST_SHOWN = 480; // pixels of the page, to which smaller images are enlarged
let metadata = null;
let shown = null; // {image: ImageData, result, layer, name}
let newest = 0; // images that are dropped before the last one is done are superseded

// States: loading, ready, busy, done, error.
function say(text, state) {
  element("status").textContent = text;
  document.body.dataset.state = state;
}

function onMetadata(content) {
  metadata = content;
  const name = metadata.recipe || metadata.meta_architecture;
  document.title = element("title").textContent = name;
  const classes = metadata.task === "panoptic"
    ? [...metadata.thing_classes, ...metadata.stuff_classes] : metadata.classes;
  element("about").textContent =
    `${metadata.task === "semantic" ? "semantic segmentation" : metadata.task} · ${classes.length} ` +
    `${classes.length === 1 ? "class" : "classes"} · exported by segsuite ${metadata.segsuite_version}`;
  element("score-control").hidden = metadata.task !== "instances";
  say("The model is ready.", "ready");
}

worker.onerror = (event) => say(
  `The page can't start (${event.message || "its files can't be read"}). It has to come from a web server: ` +
  "python -m http.server, in this folder.", "error");
worker.onmessage = ({ data }) => {
  if (data.metadata) return onMetadata(data.metadata);
  if (data.id !== undefined && data.id !== newest) return;
  if (data.error) return say(data.error, "error");
  shown.result = data.result;
  show();
  const seconds = (data.result.milliseconds / 1000).toFixed(2);
  say(`${shown.name}: ${data.result.width} × ${data.result.height} pixels, ${seconds} s`, "done");
};

function show() {
  const score = element("score").value / 100;
  element("score-value").textContent = score.toFixed(2);
  shown.layer = toLayer(shown.result, metadata, score);
  draw();
  legend();
  element("save-labels").hidden = shown.layer.kind !== "semantic";
  element("result").hidden = false;
}

function draw() {
  const { image, layer } = shown;
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.style.width = `${Math.max(image.width, SMALLEST_SHOWN)}px`;
  context.putImageData(paint(image, layer, element("opacity").value / 100), 0, 0);
  const unit = Math.max(1, Math.round(Math.min(image.width, image.height) / 400));
  context.lineWidth = unit;
  context.font = `${12 * unit}px system-ui, sans-serif`;
  context.textBaseline = "top";
  for (const { name, color, score, box } of layer.items) {
    if (!box) continue;
    const [x1, y1, x2, y2] = box, text = `${name} ${Math.round(score * 100)}%`;
    context.strokeStyle = context.fillStyle = `rgb(${color})`;
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    const height = 15 * unit, width = context.measureText(text).width + 6 * unit;
    const top = y1 >= height ? y1 - height : y1;
    context.fillRect(x1, top, width, height);
    context.fillStyle = color[0] * 0.3 + color[1] * 0.59 + color[2] * 0.11 > 140 ? "black" : "white";
    context.fillText(text, x1 + 3 * unit, top + 2 * unit);
  }
}

function swatch(color) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 1 1");
  const square = document.createElementNS(svg.namespaceURI, "rect");
  for (const [key, value] of [["width", 1], ["height", 1], ["fill", `rgb(${color})`]])
    square.setAttribute(key, value);
  svg.append(square);
  return svg;
}

function percent(share) {
  return share > 0 && share < 0.001 ? "<0.1%" : `${(share * 100).toFixed(1)}%`;
}

function legend() {
  const { items, height, width, kind } = shown.layer;
  const present = items.filter(({ pixels, box }) => pixels > 0 || box);
  if (kind === "semantic") present.sort((a, b) => b.pixels - a.pixels);
  element("legend").replaceChildren(...present.map(({ name, color, pixels, score }) => {
    const entry = document.createElement("li"), share = document.createElement("span");
    share.className = "share";
    share.textContent = ` ${score === undefined ? percent(pixels / (height * width)) : score.toFixed(2)}`;
    entry.append(swatch(color), name, share);
    return entry;
  }));
  if (!present.length) element("legend").textContent = "Nothing was found.";
}

async function open(file, name) {
  if (!metadata) return say("The model is still loading; try again in a moment.", "loading");
  const id = ++newest;
  say(`Reading ${name} …`, "busy");
  let bitmap;
  try {
    // Turned as its EXIF data say, and not converted to the screen's colours.
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  } catch {
    return say(`${name} is no image that this browser can read.`, "error");
  }
  if (id !== newest) return bitmap.close();
  const reader = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  reader.drawImage(bitmap, 0, 0);
  const image = reader.getImageData(0, 0, bitmap.width, bitmap.height);
  bitmap.close();
  shown = { image, name };
  say(`Predicting ${name} …`, "busy");
  worker.postMessage({ id, image });
}

const drop = element("drop");
element("file").addEventListener("change", ({ target }) => {
  if (target.files.length) open(target.files[0], target.files[0].name);
  target.value = "";
});
for (const kind of ["dragenter", "dragover"])
  document.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
document.addEventListener("dragleave", () => drop.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  const file = event.dataTransfer.files[0];
  if (file) open(file, file.name);
});
document.addEventListener("paste", ({ clipboardData }) => {
  const file = [...clipboardData.files].find(({ type }) => type.startsWith("image/"));
  if (file) open(file, "the pasted image");
});
drop.addEventListener("keydown", ({ key }) => {
  if (key === "Enter" || key === " ") element("file").click();
});
element("opacity").addEventListener("input", () => shown?.layer && draw());
element("score").addEventListener("input", () => shown?.result && show());

canvas.addEventListener("mousemove", (event) => {
  const layer = shown?.layer;
  if (!layer) return;
  const scale = canvas.width / canvas.clientWidth;
  const x = Math.floor(event.offsetX * scale), y = Math.floor(event.offsetY * scale);
  const id = layer.ids[y * layer.width + x], tip = element("tip");
  tip.hidden = !(id >= 0);
  if (tip.hidden) return;
  const { name, score } = layer.items[id];
  const sure = layer.confidence ? layer.confidence[y * layer.width + x] : score;
  tip.textContent = sure === undefined ? name : `${name} ${Math.round(sure * 100)}%`;
  tip.style.left = `${event.offsetX + 12}px`;
  tip.style.top = `${event.offsetY + 12}px`;
});
canvas.addEventListener("mouseleave", () => { element("tip").hidden = true; });

function save(from, name) {
  from.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}
const stem = () => shown.name.replace(/\.[^.]*$/, "");
element("save-picture").addEventListener("click", () => save(canvas, `${stem()}_prediction.png`));
element("save-labels").addEventListener("click", () => {
  const { labels, height, width } = shown.layer;
  const map = new OffscreenCanvas(width, height), pixels = new ImageData(width, height);
  labels.forEach((label, at) => pixels.data.set([label, label, label, 255], at * 4));
  map.getContext("2d").putImageData(pixels, 0, 0);
  map.convertToBlob().then((blob) => save({ toBlob: (f) => f(blob) }, `${stem()}_labels.png`));
});

// For tests, and for the console.
globalThis.segsuite = { get shown() { return shown; }, get metadata() { return metadata; } };
