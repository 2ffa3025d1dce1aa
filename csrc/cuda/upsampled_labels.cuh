// Labels of bilinearly upsampled logits on the GPU, by source cells.
//
// A cell is the square between four neighbouring logits. A class that is largest at its corners is
// largest in the whole cell (interpolation is a convex combination); one that is below another at
// all four is largest nowhere.
//
// A tile has 31 pieces of cells (see PieceAxis) in a row, and a row fewer than the block has warps, so
// the source pixels of its corners are one for each thread at most. The block reads these, then a
// thread takes a piece. Pieces with four equal labels are done at once; the others are listed, and
// the threads from the first on take one each. They keep the labels of a piece in registers and go
// through the classes once, those of a chunk in shared memory.
#pragma once

#include "cuda/mixed_piece.cuh"

namespace segsuite {

constexpr int kTileThreads = 256;
constexpr int kMostTileThreads = 512;  // where not all classes are staged
constexpr int kPieceColumns = 31;  // of a tile

constexpr __host__ __device__ int piece_rows(int threads) { return threads / 32 - 1; }

// Outputs: of a tile, from (y, x) of image n; of a piece, from (y, x) of its tile.
struct OutputTile {
  int64_t n;
  int y, x, height, width;
};
struct OutputPiece {
  int y, x, height, width;  // at most kPieceSide; no height, nothing to do
};

constexpr int kMostStaged = 32;        // classes in shared memory at once, one bit each
constexpr int kChunk = 16;             // of more

// all_staged: the classes are few enough to be one chunk.
template <typename T, bool all_staged>
struct Upsampling {
  LogitsView<T> logits;
  PieceAxis rows, columns;
  int64_t images;

  __host__ __device__ int tile_rows(int threads) const {
    return ceil_div(rows.count(), piece_rows(threads));
  }
  __host__ __device__ int tile_columns() const { return ceil_div(columns.count(), kPieceColumns); }
  __host__ int64_t tiles(int threads) const { return images * tile_rows(threads) * tile_columns(); }
  __host__ __device__ int chunk() const { return all_staged ? logits.num_classes : kChunk; }
  __host__ __device__ int chunk_bytes(int threads) const {
    return chunk() * StagedClasses::pitch_of(threads) * static_cast<int>(sizeof(float));
  }
};

// The shared memory of a block besides the classes.
struct TileMemory {
  int begin_y[kMostTileThreads / 32 + 1], begin_x[kPieceColumns + 1];
  float weight_y[kMostTileThreads / 32 * kPieceSide];
  float weight_x[(kPieceColumns + 1) * kPieceSide];
  uint16_t labels[kMostTileThreads];  // of the source pixels
  uint16_t mixed[kMostTileThreads];   // pieces
  unsigned mixed_count;
};

// A tile of a block. All threads call each function, with barriers between as for_each_piece has them.
template <typename T, bool all_staged>
class Tile {
 public:
  __device__ Tile(const Upsampling<T, all_staged>& up, TileMemory& memory, float* staged, int number)
      : up_(up),
        memory_(memory),
        staged_{staged, StagedClasses::pitch_of(blockDim.x)},
        row_(number / up.tile_columns() % up.tile_rows(blockDim.x) *
             piece_rows(blockDim.x)),
        column_(number % up.tile_columns() * kPieceColumns),
        rows_(min(piece_rows(blockDim.x), up.rows.count() - row_)),
        columns_(min(kPieceColumns, up.columns.count() - column_)),
        n_(number / up.tile_columns() / up.tile_rows(blockDim.x)) {}

  // The labels of the source pixels, their classes if all are staged, and the pieces' outputs.
  __device__ void load_source() {
    scan<all_staged, true>(0, up_.logits.num_classes);
    if (threadIdx.x == 0) memory_.mixed_count = 0;
    const int i = threadIdx.x, other = threadIdx.x - 64;  // two warps of rows, two of columns
    if (i <= rows_) memory_.begin_y[i] = up_.rows.begin(row_ + i);
    if (other >= 0 && other <= columns_) memory_.begin_x[other] = up_.columns.begin(column_ + other);
  }

  __device__ OutputTile outputs() const {
    const int y = memory_.begin_y[0], x = memory_.begin_x[0];
    return {n_, y, x, memory_.begin_y[rows_] - y, memory_.begin_x[columns_] - x};
  }

  __device__ void load_weights() {
    const OutputTile out = outputs();
    for (int i = threadIdx.x; i < out.height; i += blockDim.x)
      memory_.weight_y[i] = up_.rows.weight(out.y + i);
    for (int i = threadIdx.x; i < out.width; i += blockDim.x)
      memory_.weight_x[i] = up_.columns.weight(out.x + i);
  }

  // The outputs of the thread's piece and their label, if they have one label: without any, the piece
  // is listed.
  __device__ OutputPiece uniform_piece(int& label) {
    OutputPiece piece = {};
    bool mixed = false;
    if (static_cast<int>(threadIdx.x / 32) < rows_ && static_cast<int>(threadIdx.x % 32) < columns_) {
      piece = piece_outputs(threadIdx.x);
      const uint16_t* const at = memory_.labels + corner(threadIdx.x);
      const int a = at[0], b = at[1], c = at[32], d = at[33];
      label = max(max(a, b), max(c, d));  // one that is NaN is the largest
      mixed = piece.height > 0 && label != up_.logits.num_classes &&
              !(a == b && a == c && a == d);
    }
    const unsigned lanes = __ballot_sync(~0u, mixed);
    unsigned slot = 0;
    if (threadIdx.x % 32 == 0 && lanes != 0)
      slot = atomicAdd(&memory_.mixed_count, static_cast<unsigned>(__popc(lanes)));
    slot = __shfl_sync(~0u, slot, 0) + __popc(lanes & ((1u << threadIdx.x % 32) - 1));
    if (mixed) {
      memory_.mixed[slot] = static_cast<uint16_t>(threadIdx.x);
      piece.height = 0;
    }
    return piece;
  }

  __device__ bool has_mixed_pieces() const { return memory_.mixed_count != 0; }

  // The outputs of the thread's piece among those that are listed, and their labels.
  __device__ OutputPiece mixed_piece(PieceLabels& labels) {
    const int num_classes = up_.logits.num_classes;
    const bool active = threadIdx.x < memory_.mixed_count;
    const int number = active ? memory_.mixed[threadIdx.x] : 0;
    const int at = corner(number);
    const OutputPiece piece = active ? piece_outputs(number) : OutputPiece{};
    CornerBounds bounds = {};
    if (active) load_bounds(at, bounds);
    for (int begin = 0; begin < num_classes; begin += up_.chunk()) {
      const int end = min(begin + up_.chunk(), num_classes);
      if constexpr (!all_staged) {
        __syncthreads();
        scan<true, false>(begin, end);
        __syncthreads();
      }
      if (active)
        labels.add_candidates(staged_, begin, candidates(bounds, at, end - begin), at,
                              memory_.weight_y + piece.y, memory_.weight_x + piece.x);
    }
    return piece;
  }

 private:
  template <bool keep, bool label>
  __device__ void scan(int begin, int end) {
    const LogitsView<T>& logits = up_.logits;
    const int warp = threadIdx.x / 32;
    const int top = up_.rows.low(row_), left = up_.columns.low(column_);
    if (warp >= up_.rows.low(row_ + rows_ - 1) - top + 2) return;
    const SourceRow<T> row{
        logits.data + n_ * logits.image_stride + min(top + warp, logits.height - 1) * logits.row_stride,
        logits.width,
        left,
        up_.columns.low(column_ + columns_ - 1) - left + 2,
        logits.class_stride,
        logits.column_stride};
    const int largest = logits.adjacent_classes()
                            ? scan_by_class<keep, label>(row, begin, end, staged_)
                            : scan_by_pixel<keep, label>(row, begin, end, staged_);
    if constexpr (label)
      memory_.labels[threadIdx.x] =
          static_cast<uint16_t>(largest < 0 ? logits.num_classes : largest);
  }

  // A bit for each of the first `count` staged classes that can be largest in the cell.
  __device__ unsigned candidates(const CornerBounds& bounds, int at, int count) const {
    unsigned bits = 0;
#pragma unroll 1
    for (int c = 0; c < count; ++c) {
      float value[4];
      staged_.corners(c, at, value);
      if (!bounds.excludes(value)) bits |= 1u << c;
    }
    return bits;
  }

  // The source pixel at the top left of a piece; the others are 1, 32 and 33 after it.
  __device__ int corner(int piece) const {
    const int y = up_.rows.low(row_ + piece / 32) - up_.rows.low(row_);
    const int x = up_.columns.low(column_ + piece % 32) - up_.columns.low(column_);
    return y * 32 + x;
  }

  __device__ OutputPiece piece_outputs(int piece) const {
    const int *y = memory_.begin_y + piece / 32, *x = memory_.begin_x + piece % 32;
    const int width = x[1] - x[0];
    return {y[0] - memory_.begin_y[0], x[0] - memory_.begin_x[0], width > 0 ? y[1] - y[0] : 0, width};
  }

  // From shared memory, or from global memory where that has only a chunk of the classes.
  __device__ void load_bounds(int at, CornerBounds& bounds) const {
    const LogitsView<T>& logits = up_.logits;
    if constexpr (all_staged) {
#pragma unroll
      for (int i = 0; i < 4; ++i)
        staged_.corners(memory_.labels[at + i / 2 * 32 + i % 2], at, bounds.values[i]);
    } else {
      const int y = up_.rows.low(row_) + at / 32, x = up_.columns.low(column_) + at % 32;
      const T* const image = logits.data + n_ * logits.image_stride;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const T* const of_class =
            image + memory_.labels[at + i / 2 * 32 + i % 2] * logits.class_stride;
#pragma unroll
        for (int corner = 0; corner < 4; ++corner)
          bounds.values[i][corner] = static_cast<float>(
              load_global(of_class + min(y + corner / 2, logits.height - 1) * logits.row_stride +
                          min(x + corner % 2, logits.width - 1) * logits.column_stride));
      }
    }
    bounds.add_mean();
  }

  const Upsampling<T, all_staged>& up_;
  TileMemory& memory_;
  StagedClasses staged_;
  int row_, column_, rows_, columns_;  // pieces
  int64_t n_;
};

// Gives the labels of all outputs to a sink, tile by tile and piece by piece. A block has tiles in a
// row, so seldom more than an image. All threads of the block call the sink's functions:
//   start_image(n)         once for each image that the block has a part of
//   load(tile)             before its pieces
//   add(piece, labels)     labels(y, x) for the piece of each thread, which may have no outputs
//   finish(tile)           after its pieces, and a barrier
template <typename T, bool all_staged, typename Sink>
__device__ void for_each_piece(const Upsampling<T, all_staged>& up, float* staged, Sink& sink) {
  __shared__ TileMemory memory;
  // More tiles than an int has have no place in memory.
  const auto tiles = static_cast<int>(up.images * up.tile_rows(blockDim.x) * up.tile_columns());
  const int blocks = gridDim.x, block = blockIdx.x;
  const int share = tiles / blocks, more = tiles % blocks;
  int number = block * share + min(block, more);
  const int end = number + share + (block < more);
  int image = -1;
  for (; number < end; ++number) {
    Tile<T, all_staged> tile(up, memory, staged, number);
    tile.load_source();
    __syncthreads();
    const OutputTile out = tile.outputs();
    if (out.n != image) sink.start_image(image = static_cast<int>(out.n));
    tile.load_weights();
    sink.load(out);
    __syncthreads();
    int label = 0;
    const OutputPiece uniform = tile.uniform_piece(label);
    sink.add(uniform, [&](int, int) { return label; });
    __syncthreads();
    if (tile.has_mixed_pieces()) {
      PieceLabels labels;
      const OutputPiece mixed = tile.mixed_piece(labels);
      __syncwarp();
      sink.add(mixed, labels);
      __syncthreads();
    }
    sink.finish(out);
  }
}

}  // namespace segsuite
