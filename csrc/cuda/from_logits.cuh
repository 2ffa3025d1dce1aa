// Confusion matrices and label maps straight from low-resolution logits, on the GPU.
#pragma once

#include "cuda/block_counts.cuh"
#include "cuda/label_codes.cuh"
#include "cuda/upsampled_labels.cuh"

namespace segsuite {

// The outputs of a tile, 16 bits each.
struct TileCodes {
  static constexpr int kPitch = CodeRows::pitch(kPieceColumns * kPieceSide);

  static constexpr __host__ __device__ int bytes(int threads) {
    return piece_rows(threads) * kPieceSide * kPitch * 2;
  }
};

struct CountedTarget {
  LabelMap labels;  // (images, height, width)
  int64_t pixels;   // of all images
  int64_t ignore;
  Count* out;
  int64_t out_image_stride;  // 0: one matrix for all images
};

template <bool in_shared>
class CountSink {
 public:
  __device__ CountSink(const CountedTarget& target, int height, int width,
                       const BlockCounts<in_shared>& counts, int num_classes, uint16_t* codes)
      : target_(target),
        height_(height),
        width_(width),
        num_classes_(num_classes),
        counts_(counts),
        codes_(codes),
        rows_(codes, TileCodes::kPitch, target.labels, target.pixels, 0, width) {}

  __device__ void start_image(int64_t n) {
    if (started_) {
      if (target_.out_image_stride == 0) return;
      counts_.flush();
      __syncthreads();
    }
    counts_.start(target_.out + n * target_.out_image_stride);
    started_ = true;
  }
  __device__ void load(const OutputTile& tile) {
    rows_ = CodeRows(codes_, TileCodes::kPitch, target_.labels, target_.pixels,
                     (tile.n * height_ + tile.y) * width_ + tile.x, width_);
    rows_.load(tile.height, tile.width, num_classes_, true, target_.ignore);
  }
  template <typename Labels>
  __device__ void add(const OutputPiece& piece, const Labels& labels) {
    const int columns = num_classes_ + 1;
    AreaCounts area(labels(0, 0) * (columns + 1));  // where prediction and target agree
#pragma unroll
    for (int y = 0; y < kPieceSide; ++y) {
      if (y >= piece.height) continue;
      const uint16_t* const codes = rows_.row(piece.y + y) + piece.x;
#pragma unroll
      for (int x = 0; x < kPieceSide; ++x) {
        if (x >= piece.width) continue;
        const int code = codes[x];
        if (code <= num_classes_) area.add(counts_, code * columns + labels(y, x));
      }
    }
    __syncwarp();
    area.finish(counts_);
  }
  __device__ void finish(const OutputTile&) {}

  __device__ void flush() {
    __syncthreads();
    if (started_) counts_.flush();
  }

 private:
  const CountedTarget& target_;
  int height_, width_, num_classes_;
  BlockCounts<in_shared> counts_;
  uint16_t* codes_;
  CodeRows rows_;
  bool started_ = false;
};

template <typename T, bool all_staged, bool in_shared>
__global__ void __launch_bounds__(all_staged ? kTileThreads : kMostTileThreads, all_staged ? 3 : 1)
    count_from_logits_kernel(Upsampling<T, all_staged> up, CountsPlan plan, CountedTarget target) {
  SEGSUITE_DYNAMIC_SHARED(unsigned, shared);
  auto* const codes = reinterpret_cast<uint16_t*>(shared + plan.bytes() / 4);
  auto* const staged = reinterpret_cast<float*>(codes + TileCodes::bytes(blockDim.x) / 2);
  CountSink<in_shared> sink(target, up.rows.output(), up.columns.output(),
                            BlockCounts<in_shared>(plan, shared), plan.num_classes, codes);
  for_each_piece(up, staged, sink);
  sink.flush();
}

// Writes the labels of a tile by way of shared memory, rows at a time.
template <typename Label>
class LabelSink {
 public:
  __device__ LabelSink(Label* out, int height, int width, uint16_t* codes)
      : out_(out), height_(height), width_(width), codes_(codes) {}

  __device__ void start_image(int64_t) {}
  __device__ void load(const OutputTile&) {}
  template <typename Labels>
  __device__ void add(const OutputPiece& piece, const Labels& labels) {
#pragma unroll
    for (int y = 0; y < kPieceSide; ++y)
#pragma unroll
      for (int x = 0; x < kPieceSide; ++x)
        if (y < piece.height && x < piece.width)
          codes_[(piece.y + y) * TileCodes::kPitch + piece.x + x] =
              static_cast<uint16_t>(labels(y, x));
  }
  __device__ void finish(const OutputTile& tile) {
    for (int y = threadIdx.x / 32; y < tile.height; y += blockDim.x / 32) {
      Label* const row = out_ + (tile.n * height_ + tile.y + y) * width_ + tile.x;
      for (int x = threadIdx.x % 32; x < tile.width; x += 32)
        store_global(row + x, static_cast<Label>(codes_[y * TileCodes::kPitch + x]));
    }
    __syncthreads();
  }

 private:
  Label* out_;
  int height_, width_;
  uint16_t* codes_;
};

template <typename T, bool all_staged, typename Label>
__global__ void __launch_bounds__(all_staged ? kTileThreads : kMostTileThreads, all_staged ? 3 : 1)
    argmax_from_logits_kernel(Upsampling<T, all_staged> up, Label* out) {
  SEGSUITE_DYNAMIC_SHARED(unsigned, shared);
  auto* const codes = reinterpret_cast<uint16_t*>(shared);
  auto* const staged = reinterpret_cast<float*>(codes + TileCodes::bytes(blockDim.x) / 2);
  LabelSink<Label> sink(out, up.rows.output(), up.columns.output(), codes);
  for_each_piece(up, staged, sink);
}

// Launches. None is called for an empty output.

struct OutputSize {
  int height, width;
  double scale_y, scale_x;  // source pixels in an output pixel
};

template <bool all_staged, typename T>
Upsampling<T, all_staged> upsampling(LogitsView<T> logits, const OutputSize& size, int64_t images) {
  return {logits, PieceAxis(logits.height, size.height, size.scale_y),
          PieceAxis(logits.width, size.width, size.scale_x), images};
}

template <bool in_shared, typename T, bool all_staged>
void launch_count(const Upsampling<T, all_staged>& up, const CountsPlan& plan, int threads,
                  const CountedTarget& target, cudaStream_t stream) {
  const int shared = plan.bytes() + TileCodes::bytes(threads) + up.chunk_bytes(threads);
  const int64_t resident =
      resident_blocks(count_from_logits_kernel<T, all_staged, in_shared>, threads, shared);
  const int64_t blocks =
      max(min(up.tiles(threads), resident), ceil_div(target.pixels, kMostPixelsOfBlock));
  SEGSUITE_LAUNCH((count_from_logits_kernel<T, all_staged, in_shared>),
                  dim3(static_cast<unsigned>(blocks)), dim3(threads), shared, stream, up, plan, target);
}

template <typename T>
void launch_count_from_logits(LogitsView<T> logits, OutputSize size, LabelMap target, int64_t images,
                              int64_t ignore, Count* out, int64_t out_image_stride,
                              cudaStream_t stream) {
  const CountedTarget counted{target, images * size.height * size.width, ignore, out,
                              out_image_stride};
  if (logits.num_classes <= kMostStaged) {
    const auto up = upsampling<true>(logits, size, images);
    const CountsPlan plan = CountsPlan::within(logits.num_classes, kSmallMatrixBytes);
    return launch_count<true>(up, plan, kTileThreads, counted, stream);
  }
  const auto up = upsampling<false>(logits, size, images);
  const int available = most_shared_bytes(count_from_logits_kernel<T, false, true>);
  const auto tile_bytes = [&](int threads) {
    return TileCodes::bytes(threads) + up.chunk_bytes(threads);
  };
  const CountsPlan plan =
      CountsPlan::within(logits.num_classes, available - tile_bytes(kTileThreads));
  if (plan.copies == 0) return launch_count<false>(up, plan, kTileThreads, counted, stream);
  // Where a matrix leaves room for one block on a multiprocessor, that is a large one.
  const bool alone = plan.bytes() + tile_bytes(kTileThreads) > available / 2 &&
                     plan.bytes() + tile_bytes(kMostTileThreads) <= available;
  launch_count<true>(up, plan, alone ? kMostTileThreads : kTileThreads, counted, stream);
}

template <typename Label, typename T, bool all_staged>
void launch_argmax(const Upsampling<T, all_staged>& up, Label* out, cudaStream_t stream) {
  const int shared = TileCodes::bytes(kTileThreads) + up.chunk_bytes(kTileThreads);
  const int64_t resident =
      resident_blocks(argmax_from_logits_kernel<T, all_staged, Label>, kTileThreads, shared);
  SEGSUITE_LAUNCH((argmax_from_logits_kernel<T, all_staged, Label>),
                  dim3(static_cast<unsigned>(min(up.tiles(kTileThreads), resident))),
                  dim3(kTileThreads), shared, stream, up, out);
}

template <typename T, typename Label>
void launch_argmax_from_logits(LogitsView<T> logits, OutputSize size, int64_t images, Label* out,
                               cudaStream_t stream) {
  if constexpr (sizeof(Label) == 1)
    if (logits.num_classes <= kMostStaged)
      return launch_argmax(upsampling<true>(logits, size, images), out, stream);
  launch_argmax(upsampling<false>(logits, size, images), out, stream);
}

}  // namespace segsuite
