// The epilogue of convolutions on the CPU.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cstdint>

#include "common/conv_epilogue_arguments.h"
#include "common/parallel.h"

namespace segsuite {

// Values that are adjacent in x and in the residual, with the biases of a pixel or one for all.
struct EpilogueSpans {
  int64_t count, length;
  int64_t per_plane;  // spans in a row that have the same channel, where a span has one
  int64_t height, width;
  bool channels_last;

  template <typename S>
  explicit EpilogueSpans(const ConvEpilogue<S>& e)
      : height(e.height), width(e.width), channels_last(e.channels_last) {
    length = channels_last ? e.channels : e.upsample ? width : height * width;
    count = e.images * e.channels * height * width / length;
    per_plane = !channels_last && e.upsample ? height : 1;
  }

  // Where an upsampled residual's part in a span begins.
  int64_t coarse(int64_t span) const {
    const int64_t row = channels_last ? span / width : span;
    const int64_t coarse_row = row / height * (height / 2) + row % height / 2;
    if (!channels_last) return coarse_row * (width / 2);
    return (coarse_row * (width / 2) + span % width / 2) * length;
  }
};

}  // namespace segsuite

#define SEGSUITE_KERNEL "cpu/conv_epilogue_kernel.inc"
#include "common/foreach_isa.h"

namespace segsuite {
namespace {

constexpr int64_t kValuesPerThread = 1 << 15;  // at least

template <typename S>
void run(const ConvEpilogue<S>& e) {
  if (e.bias == nullptr && !e.upsample) {
    const auto values = SEGSUITE_BEST_ISA(conv_epilogue_values<S>);
    parallel_shares(e.images * e.channels * e.height * e.width, kValuesPerThread,
                    [&](int64_t begin, int64_t end) { values(e, begin, end); });
    return;
  }
  const EpilogueSpans spans(e);
  const auto some_spans = SEGSUITE_BEST_ISA(conv_epilogue_spans<S>);
  parallel_shares(spans.count, std::max<int64_t>(kValuesPerThread / spans.length, 1),
                  [&](int64_t begin, int64_t end) { some_spans(e, spans, begin, end); });
}

void conv_epilogue_(Tensor x, const std::optional<Tensor>& bias,
                    const std::optional<Tensor>& residual, bool upsample, bool relu) {
  with_conv_epilogue(x, bias, residual, upsample, relu, [](const auto& e) { run(e); });
}

}  // namespace
}  // namespace segsuite

STABLE_TORCH_LIBRARY_IMPL(segsuite, CPU, m) {
  m.impl("conv_epilogue_", TORCH_BOX(&segsuite::conv_epilogue_));
}
