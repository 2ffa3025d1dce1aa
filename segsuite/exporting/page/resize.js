// Images resized as in training, to the last bit of Pillow's; and their channels.

// For each new position the first old one and its weights, as Pillow's bilinear filter has them:
// fixed point, antialiased where the image shrinks.
const PRECISION = 22;

function weights(size, newSize) {
  const scale = size / newSize;
  const support = Math.max(scale, 1);
  const perPixel = 1 / support;
  return Array.from({ length: newSize }, (_, i) => {
    const center = (i + 0.5) * scale;
    const first = Math.max(Math.trunc(center - support + 0.5), 0);
    const last = Math.min(Math.trunc(center + support + 0.5), size);
    const values = [];
    let sum = 0;
    for (let x = first; x < last; ++x) {
      const value = Math.max(1 - Math.abs((x - center + 0.5) * perPixel), 0);
      values.push(value);
      sum += value;
    }
    return { first, values: values.map((v) => Math.trunc((v / sum) * 2 ** PRECISION + 0.5)) };
  });
}

function clip(sum) {
  return Math.min(Math.max(Math.floor(sum / 2 ** PRECISION), 0), 255);
}

// One axis of a plane of `lines` lines; (line, position) is at line * byLine + position * byStep.
function resizeAxis(from, size, newSize, lines, [fromLine, fromStep], [toLine, toStep]) {
  const to = new Uint8Array(lines * newSize);
  const table = weights(size, newSize);
  for (let i = 0; i < newSize; ++i) {
    const { first, values } = table[i];
    for (let line = 0; line < lines; ++line) {
      let sum = 2 ** (PRECISION - 1);
      let at = line * fromLine + first * fromStep;
      for (const value of values) {
        sum += from[at] * value;
        at += fromStep;
      }
      to[line * toLine + i * toStep] = clip(sum);
    }
  }
  return to;
}

// A plane of bytes, (height, width) -> size, along x and then along y.
export function resizePlane(plane, height, width, [newHeight, newWidth]) {
  if (width !== newWidth)
    plane = resizeAxis(plane, width, newWidth, height, [width, 1], [newWidth, 1]);
  if (height !== newHeight)
    plane = resizeAxis(plane, height, newHeight, newWidth, [1, newWidth], [1, newWidth]);
  return plane;
}

// The channels that the model takes, each a plane, of the canvas's pixels RGBA.
export function channels(rgba, pixelFormat) {
  const count = rgba.length / 4;
  const plane = (value) => {
    const values = new Uint8Array(count);
    for (let i = 0, at = 0; i < count; ++i, at += 4) values[i] = value(at);
    return values;
  };
  if (pixelFormat === "L")
    // As Pillow makes grey of colours.
    return [plane((at) => (rgba[at] * 19595 + rgba[at + 1] * 38470 + rgba[at + 2] * 7471 + 0x8000) >> 16)];
  const rgb = [0, 1, 2].map((channel) => plane((at) => rgba[at + channel]));
  return pixelFormat === "BGR" ? rgb.reverse() : rgb;
}
