// Runs the model beside the page, which stays awake: {image: ImageData} in, what it says out.
import * as ort from "./onnxruntime/ort.wasm.min.mjs";
import { Frame } from "./frame.js";

const here = new URL("./", self.location.href);
ort.env.wasm.wasmPaths = new URL("onnxruntime/", here).href;
// Several threads need a server that isolates the page (Cross-Origin-Opener-Policy and -Embedder-Policy).
ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, 8) : 1;

async function read(name) {
  const response = await fetch(new URL(name, here));
  if (!response.ok) throw new Error(`${name} can't be read (${response.status})`);
  return response;
}

const ready = (async () => {
  const metadata = await (await read("metadata.json")).json();
  const model = new Uint8Array(await (await read("model.onnx")).arrayBuffer());
  const session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"] });
  return { metadata, session };
})();

const MAPS = ["labels", "confidence", "logits", "panoptic", "pasted"]; // of the size that is asked for

async function predict({ height, width, data }) {
  const { metadata, session } = await ready;
  const frame = new Frame(height, width, metadata);
  const { pixels, dims } = frame.images(data);
  const inputs = { images: new ort.Tensor("uint8", pixels, dims) };
  if (metadata.inputs.includes("size"))
    inputs.size = new ort.Tensor("int64", BigInt64Array.from(frame.output, BigInt), [2]);
  const start = performance.now();
  const outputs = await session.run(inputs);
  const milliseconds = performance.now() - start;
  const arrays = {};
  for (const [name, { data, dims }] of Object.entries(outputs)) {
    const values = data instanceof BigInt64Array ? Int32Array.from(data, Number) : data;
    arrays[name] = MAPS.includes(name) ? frame.cut({ values, dims }) : { values, dims };
  }
  return { arrays, size: frame.source, height, width, milliseconds };
}

ready.then(
  ({ metadata }) => self.postMessage({ metadata }),
  (error) => self.postMessage({ error: `The model can't be loaded: ${error.message}` }),
);

self.onmessage = async ({ data: { id, image } }) => {
  try {
    self.postMessage({ id, result: await predict(image) });
  } catch (error) {
    self.postMessage({ id, error: `The image can't be predicted: ${error.message ?? error}` });
  }
};
