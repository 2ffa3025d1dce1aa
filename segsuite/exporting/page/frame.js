// Where an image lies in the inputs and outputs of the model; segsuite.runtime has the same in Python.
import { channels, resizePlane } from "./resize.js";

// The size after the resize of test images (height, width), rounded half up.
function resizedSize(height, width, { resize }) {
  if (resize === null) return [height, width];
  const scale = resize.min_size / Math.min(height, width);
  let edges = [height * scale, width * scale];
  if (Math.max(...edges) > resize.max_size) {
    const shrink = resize.max_size / Math.max(...edges);
    edges = edges.map((edge) => edge * shrink);
  }
  return edges.map((edge) => Math.max(Math.floor(edge + 0.5), 1));
}

// As Python rounds.
function round(x) {
  return Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x);
}

// No larger than the input, in its own proportions.
function fittedSize([height, width], limit) {
  const scale = Math.min(limit[0] / height, limit[1] / width);
  if (scale >= 1) return [height, width];
  return [height, width].map((edge, i) => Math.min(Math.max(round(edge * scale), 1), limit[i]));
}

export class Frame {
  constructor(height, width, metadata) {
    this.metadata = metadata;
    this.image = [height, width];
    this.resized = resizedSize(height, width, metadata);
    this.input = metadata.dynamic.size ? this.resized : metadata.input_size;
    this.source = fittedSize(this.resized, this.input); // in the top left corner
    this.output = this.image.map((edge, i) => round((edge * this.input[i]) / this.source[i]));
  }

  // The channels of the canvas's pixels RGBA, one after the other: uint8 [1, C, ...this.input].
  images(rgba) {
    const [height, width] = this.input;
    const planes = channels(rgba, this.metadata.pixel_format);
    const pixels = new Uint8Array(planes.length * height * width);
    planes.forEach((plane, channel) => {
      plane = resizePlane(plane, ...this.image, this.resized);
      plane = resizePlane(plane, ...this.resized, this.source);
      const start = channel * height * width;
      pixels.fill(Math.min(Math.max(round(this.metadata.mean[channel]), 0), 255), start, start + height * width);
      for (let y = 0; y < this.source[0]; ++y)
        pixels.set(plane.subarray(y * this.source[1], (y + 1) * this.source[1]), start + y * width);
    });
    return { pixels, dims: [1, planes.length, height, width] };
  }

  // The part that the image covers of an output whose last two dimensions are this.output.
  cut({ values, dims }) {
    const [height, width] = this.image, [rows, columns] = dims.slice(-2);
    if (rows === height && columns === width) return { values, dims };
    const maps = values.length / (rows * columns);
    const part = new values.constructor(maps * height * width);
    for (let line = 0; line < maps * height; ++line) {
      const start = Math.floor(line / height) * rows * columns + (line % height) * columns;
      part.set(values.subarray(start, start + width), line * width);
    }
    return { values: part, dims: [...dims.slice(0, -2), height, width] };
  }
}
