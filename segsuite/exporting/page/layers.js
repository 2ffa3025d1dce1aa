// What the model says, as layers: {ids: Int32Array (height * width), each pixel the number of an
// item or -1, items: [{name, color, score, pixels, box}]}. Drawing and the legend know no more.

// A label map: the items are the classes.
function semantic({ labels, confidence }, { height, width }, metadata) {
  const ids = Int32Array.from(labels.values);
  // A model of one class says whether a pixel is of it.
  const isSigmoid = metadata.classes.length === 1;
  if (isSigmoid) for (let i = 0; i < ids.length; ++i) ids[i] -= 1;
  const items = metadata.classes.map((name, k) => ({ name, color: metadata.colors[k], pixels: 0 }));
  for (const id of ids) if (id >= 0) ++items[id].pixels;
  return { kind: "semantic", ids, items, height, width, confidence: confidence?.values, labels: labels.values };
}

// A mask's window of the image, as segsuite's ROIMasks: bilinear around the centres of pixels.
function pasteMask(values, side, box, height, width) {
  const [x1, y1, x2, y2] = box;
  const left = Math.max(Math.floor(x1) - 1, 0), right = Math.min(Math.ceil(x2) + 1, width);
  const top = Math.max(Math.floor(y1) - 1, 0), bottom = Math.min(Math.ceil(y2) + 1, height);
  const at = (row, column) =>
    row < 0 || column < 0 || row >= side || column >= side ? 0 : values[row * side + column];
  const inside = [];
  for (let y = top; y < bottom; ++y) {
    const v = ((y + 0.5 - y1) / (y2 - y1)) * side - 0.5;
    const row = Math.floor(v), low = v - row;
    for (let x = left; x < right; ++x) {
      const u = ((x + 0.5 - x1) / (x2 - x1)) * side - 0.5;
      const column = Math.floor(u), far = u - column;
      const value =
        (at(row, column) * (1 - far) + at(row, column + 1) * far) * (1 - low) +
        (at(row + 1, column) * (1 - far) + at(row + 1, column + 1) * far) * low;
      if (value >= 0.5) inside.push(y * width + x);
    }
  }
  return inside;
}

function maskPixels({ masks, pasted }, i, box, height, width) {
  if (masks) {
    const side = masks.dims[3];
    return pasteMask(masks.values.subarray(i * side * side, (i + 1) * side * side), side, box, height, width);
  }
  const inside = [];
  if (pasted) {
    const start = i * height * width;
    for (let at = 0; at < height * width; ++at) if (pasted.values[start + at]) inside.push(at);
  }
  return inside;
}

// Hues far from one another, whatever their number.
function hue(i) {
  const h = (i * 0.618034) % 1, part = (n) => {
    const k = (n + h * 12) % 12;
    return Math.round(255 * (0.55 - 0.45 * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [part(0), part(8), part(4)];
}

function boxOf(boxes, i, size, height, width) {
  const factors = [width / size[1], height / size[0]];
  const limits = [width, height];
  return [0, 1, 2, 3].map((k) =>
    Math.min(Math.max(boxes.values[i * 4 + k] * factors[k % 2], 0), limits[k % 2]));
}

// Instances: the best lie on top.
function instances(arrays, { size, height, width }, metadata, smallestScore) {
  const ids = new Int32Array(height * width).fill(-1);
  const classes = metadata.task === "panoptic" ? metadata.thing_classes : metadata.classes;
  const items = [];
  for (let i = 0; i < arrays.count.values[0]; ++i) {
    const score = arrays.scores.values[i];
    if (score < smallestScore) continue;
    const box = boxOf(arrays.boxes, i, size, height, width);
    if (box[2] <= box[0] || box[3] <= box[1]) continue;
    const name = classes[arrays.classes.values[i]];
    const number = items.push({ name, color: hue(items.length), score, box, pixels: 0 }) - 1;
    for (const at of maskPixels(arrays, i, box, height, width)) {
      ++items[number].pixels;
      if (ids[at] < 0) ids[at] = number;
    }
  }
  return { kind: "instances", ids, items, height, width };
}

// Segments: every pixel of one.
function panoptic({ panoptic: map, segments, segment_count: count }, { height, width }, metadata) {
  const ids = new Int32Array(height * width).fill(-1);
  const columns = segments.dims[2];
  const items = [];
  for (let i = 0; i < count.values[0]; ++i) {
    const [category, isThing, score] = segments.values.subarray(i * columns, i * columns + 3);
    const name = (isThing ? metadata.thing_classes : metadata.stuff_classes)[category];
    const color = isThing ? hue(i) : metadata.stuff_colors[category];
    items.push({ name, color, score: isThing ? score : undefined, pixels: 0 });
  }
  map.values.forEach((id, at) => {
    if (id < 1) return;
    ids[at] = id - 1; // ids count the rows of the table from 1
    ++items[id - 1].pixels;
  });
  return { kind: "panoptic", ids, items, height, width };
}

export function toLayer(result, metadata, smallestScore) {
  if (metadata.task === "semantic") return semantic(result.arrays, result, metadata);
  if (metadata.task === "panoptic") return panoptic(result.arrays, result, metadata);
  return instances(result.arrays, result, metadata, smallestScore);
}

// Tints the pixels (ImageData, as the image is) by the layer; outlines in full colour.
export function paint(image, layer, opacity) {
  const { ids, items, height, width } = layer;
  const picture = new ImageData(new Uint8ClampedArray(image.data), width, height);
  const pixels = picture.data;
  for (let y = 0, at = 0; y < height; ++y) {
    for (let x = 0; x < width; ++x, ++at) {
      const id = ids[at];
      const isEdge =
        (x + 1 < width && ids[at + 1] !== id) || (y + 1 < height && ids[at + width] !== id);
      const shown = id >= 0 ? id : isEdge ? Math.max(ids[at + 1] ?? -1, ids[at + width] ?? -1) : -1;
      if (shown < 0) continue;
      const share = isEdge ? Math.max(opacity, 0.9 * Math.sign(opacity)) : opacity;
      for (let c = 0; c < 3; ++c)
        pixels[at * 4 + c] += (items[shown].color[c] - pixels[at * 4 + c]) * share;
    }
  }
  return picture;
}
