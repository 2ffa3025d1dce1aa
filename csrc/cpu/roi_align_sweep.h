// RoIAlign as sparse sums over the rows and columns of a feature map.
//
// The samples of a RoI form a grid, and bilinear interpolation, its clamping at the border and the
// rule for samples outside are all separable. So a pooled value is
//
//     sum over rows y and columns x of  row_weight[bin_y][y] * column_weight[bin_x][x] * map[y][x],
//
// where samples that share a row or a column have been added up. Both directions then sweep over
// the rows of a map once and serve every RoI that uses the row while it is in the cache.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/roi_align.h"
#include "cpu/roi_align_views.h"

namespace segsuite {

template <typename T>
struct Box {
  int64_t index;           // among all RoIs: where its result goes
  int32_t level, image;    // the map that pools it
  T x1, y1, x2, y2;
};

// The weights of RoIs of one map, ordered by the map's rows.
template <typename T>
struct RoiSweep {
  struct Weight {
    int32_t index;  // a column of the map, or a pooled row
    T value;
  };
  struct Roi {
    int64_t index;             // see Box
    int64_t first_column;      // its part of `columns`,
    int32_t columns_per_bin;   // the same number for each of its pooled columns
  };
  struct Visit {               // of one map row by one RoI
    int32_t roi;
    int32_t first, last;       // pooled rows that the map row counts in: its part of `pooled_rows`
  };
  struct Row {
    int32_t y;
    int32_t first_column, last_column;  // that its visits read, at most
    int32_t first_visit, last_visit;
  };

  int32_t level = 0, image = 0;
  std::vector<Roi> rois;
  std::vector<Weight> columns;  // bins are filled up with weight 0 at the column `map width`
  std::vector<Row> rows;        // those that are visited, in ascending order
  std::vector<Visit> visits;    // of a row in the order of the RoIs
  std::vector<Weight> pooled_rows;
};

// Builds a sweep; keeps its buffers from one to the next.
template <typename T>
class SweepBuilder {
  using Sweep = RoiSweep<T>;
  using Weight = typename Sweep::Weight;

 public:
  explicit SweepBuilder(const RoiAlignOptions& options) : options_(options) {}

  // The boxes are of one map.
  Sweep build(const Box<T>* begin, const Box<T>* end, int32_t height, int32_t width,
              T scale) {
    Sweep sweep;
    sweep.rois.reserve(end - begin);
    entries_.clear();
    spans_.clear();
    for (const Box<T>* box = begin; box != end; ++box) {
      add_columns(sweep, *box, width, scale);
      add_rows(static_cast<int32_t>(box - begin), *box, height, scale);
    }
    order_by_row(sweep, height, width);
    return sweep;
  }

 private:
  struct Span {
    int32_t first, last;
  };
  struct Entry {  // pooled row `bin` of RoI `roi` takes `weight` times map row `row`
    int32_t row, roi, bin;
    T weight;
  };

  // The pixels that a bin's samples touch, ascending, with their summed weights.
  void sum_samples(const RoiAxis<T>& axis, int32_t bin, int32_t size) {
    bin_.clear();
    const T share = T(1) / static_cast<T>(axis.samples);
    int32_t first, last;
    axis.samples_within(bin, T(-1), static_cast<T>(size), &first, &last);
    for (int32_t i = first; i < last; ++i) {
      Interpolation<T> at;
      if (!interpolate(axis.sample(bin, i), size, &at)) continue;
      add(at.low, (T(1) - at.high_weight) * share);
      if (at.high_weight > T(0)) add(at.high, at.high_weight * share);
    }
  }

  void add(int32_t pixel, T weight) {
    // Samples ascend, so a pixel met before is the last or the one before the last.
    for (size_t back = 1; back <= 2 && back <= bin_.size(); ++back) {
      Weight& known = bin_[bin_.size() - back];
      if (known.index == pixel) {
        known.value += weight;
        return;
      }
    }
    bin_.push_back({pixel, weight});
  }

  void add_columns(Sweep& sweep, const Box<T>& box, int32_t width, T scale) {
    const RoiAxis<T> axis(box.x1, box.x2, scale, options_.pooled_width, options_);
    columns_.clear();
    ends_.clear();
    size_t most = 0;
    for (int32_t bin = 0; bin < options_.pooled_width; ++bin) {
      sum_samples(axis, bin, width);
      most = std::max(most, bin_.size());
      columns_.insert(columns_.end(), bin_.begin(), bin_.end());
      ends_.push_back(columns_.size());
    }
    sweep.rois.push_back({box.index, static_cast<int64_t>(sweep.columns.size()),
                          static_cast<int32_t>(most)});
    size_t next = 0;
    for (const size_t end : ends_) {
      const size_t filling = most - (end - next);
      sweep.columns.insert(sweep.columns.end(), columns_.begin() + next, columns_.begin() + end);
      sweep.columns.insert(sweep.columns.end(), filling, Weight{width, T(0)});
      next = end;
    }
    spans_.push_back(columns_.empty() ? Span{0, 0}
                                      : Span{columns_.front().index, columns_.back().index + 1});
  }

  void add_rows(int32_t roi, const Box<T>& box, int32_t height, T scale) {
    if (spans_[roi].first == spans_[roi].last) return;  // beside the map
    const RoiAxis<T> axis(box.y1, box.y2, scale, options_.pooled_height, options_);
    for (int32_t bin = 0; bin < options_.pooled_height; ++bin) {
      sum_samples(axis, bin, height);
      for (const Weight& row : bin_) entries_.push_back({row.index, roi, bin, row.value});
    }
  }

  // A stable counting sort of the entries, which are in the order of RoIs, then bins.
  void order_by_row(Sweep& sweep, int32_t height, int32_t width) {
    starts_.assign(height + 1, 0);
    for (const Entry& entry : entries_) ++starts_[entry.row + 1];
    for (int32_t y = 0; y < height; ++y) starts_[y + 1] += starts_[y];
    sorted_.resize(entries_.size());
    for (const Entry& entry : entries_) sorted_[starts_[entry.row]++] = entry;

    sweep.pooled_rows.reserve(sorted_.size());
    for (const Entry& entry : sorted_) {
      const auto position = static_cast<int32_t>(sweep.pooled_rows.size());
      const auto visit = static_cast<int32_t>(sweep.visits.size());
      const bool new_row = sweep.rows.empty() || sweep.rows.back().y != entry.row;
      if (new_row) sweep.rows.push_back({entry.row, width, 0, visit, visit});
      typename Sweep::Row& row = sweep.rows.back();
      if (new_row || sweep.visits.back().roi != entry.roi) {
        sweep.visits.push_back({entry.roi, position, position});
        row.last_visit = visit + 1;
        row.first_column = std::min(row.first_column, spans_[entry.roi].first);
        row.last_column = std::max(row.last_column, spans_[entry.roi].last);
      }
      sweep.pooled_rows.push_back({entry.bin, entry.weight});
      sweep.visits.back().last = position + 1;
    }
  }

  RoiAlignOptions options_;
  std::vector<Weight> bin_, columns_;
  std::vector<size_t> ends_;
  std::vector<Span> spans_;
  std::vector<Entry> entries_, sorted_;
  std::vector<int64_t> starts_;
};

}  // namespace segsuite
