// Where the bins and the sampling points of a region of interest (RoI) lie on the feature map.
//
// The one statement of it, for the CPU and for CUDA.  Everything is per axis: rows and columns are
// computed alike and never mix.  The order of the floating-point operations is torchvision's, so
// that results can be compared bit for bit (compiled with -ffp-contract=off on the CPU).
#pragma once

#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define ROI_INLINE __host__ __device__ __forceinline__
#else
#define ROI_INLINE inline
#endif

namespace detection {

// Coordinates are cut to this many cells before they become integers (a conversion that does not
// fit is undefined in C++); sums and differences of a few such numbers still fit in an int.
constexpr int kFarthestCell = 1 << 28;

ROI_INLINE int smaller(int a, int b) { return a < b ? a : b; }
ROI_INLINE int larger(int a, int b) { return a > b ? a : b; }

template <typename T>
ROI_INLINE int to_cell(T value) {
  const T limit = static_cast<T>(kFarthestCell);
  return static_cast<int>(value > limit ? limit : (value < -limit ? -limit : value));
}

// One row [image, x1, y1, x2, y2] of the RoI tensor may be pooled if its numbers are finite and
// the image exists; otherwise its result is NaN.
template <typename T>
ROI_INLINE bool is_valid(const T* roi, int64_t images) {
  for (int i = 0; i < 5; ++i) {
    if (!(roi[i] - roi[i] == T(0))) return false;  // inf - inf and NaN - NaN are NaN
  }
  return roi[0] >= T(0) && roi[0] < static_cast<T>(images);
}

// Cells [begin, end).
struct Cells {
  int begin, end;
};

// ---- RoIPool: Girshick 2015, section 2.1, with the rounding of its Caffe layer ----------------

template <typename T>
struct PoolAxis {
  int start;  // first cell of the RoI
  T bin;      // cells per bin
  int extent; // cells of the map

  // Both ends are rounded half away from zero, and the last cell belongs to the RoI.
  ROI_INLINE PoolAxis(T low, T high, T scale, int bins, int extent_) : extent(extent_) {
    start = to_cell(round(low * scale));
    const int cells = larger(to_cell(round(high * scale)) - start + 1, 1);
    bin = static_cast<T>(cells) / static_cast<T>(bins);
  }

  // Neighbouring bins may share a cell: the lower edge is rounded down, the upper one up.
  ROI_INLINE Cells cells(int index) const {
    const int begin = static_cast<int>(floor(static_cast<T>(index) * bin)) + start;
    const int end = static_cast<int>(ceil(static_cast<T>(index + 1) * bin)) + start;
    return {smaller(larger(begin, 0), extent), smaller(larger(end, 0), extent)};
  }
};

// ---- RoIAlign: He et al. 2017, section 3 ------------------------------------------------------

// One sampling point between two cells.
template <typename T>
struct Sample {
  int low, high;
  T low_weight, high_weight;
};

template <typename T>
struct AlignAxis {
  T start;      // in cells
  T bin;        // cells per bin
  int samples;  // per bin
  int extent;   // cells of the map

  ROI_INLINE AlignAxis(
      T low, T high, T scale, int bins, int sampling_ratio, bool aligned, int extent_)
      : extent(extent_) {
    const T offset = aligned ? T(0.5) : T(0);
    start = low * scale - offset;
    T size = (high * scale - offset) - start;
    if (!aligned) size = size > T(1) ? size : T(1);
    bin = size / static_cast<T>(bins);
    samples = sampling_ratio > 0 ? sampling_ratio : to_cell(ceil(bin));
  }

  ROI_INLINE T position(int index, int sample) const {
    return (start + static_cast<T>(index) * bin) +
        (static_cast<T>(sample) + T(0.5)) * bin / static_cast<T>(samples);
  }

  // The samples of one bin that can lie on the map: a RoI may be a million times larger than it.
  ROI_INLINE Cells samples_on_map(int index) const {
    const T step = bin / static_cast<T>(samples);
    if (samples < 64 || !(step > T(0))) return {0, samples};
    const T first = start + static_cast<T>(index) * bin;
    const int begin = to_cell(floor((T(-1) - first) / step)) - 2;
    const int end = to_cell(ceil((static_cast<T>(extent) - first) / step)) + 2;
    return {smaller(larger(begin, 0), samples), smaller(larger(end, 0), samples)};
  }

  // False if the point lies outside the map by more than one cell: it contributes zero.
  ROI_INLINE bool sample(T at, Sample<T>& out) const {
    if (at < T(-1) || at > static_cast<T>(extent) || extent < 1) return false;
    if (at <= T(0)) at = T(0);
    out.low = static_cast<int>(at);
    if (out.low >= extent - 1) {
      out.low = out.high = extent - 1;
      at = static_cast<T>(out.low);
    } else {
      out.high = out.low + 1;
    }
    out.high_weight = at - static_cast<T>(out.low);
    out.low_weight = T(1) - out.high_weight;
    return true;
  }
};

// The cells that the sampling points of one bin touch.
template <typename T>
ROI_INLINE Cells touched(const AlignAxis<T>& axis, int index) {
  Cells cells{axis.extent, 0};
  const Cells candidates = axis.samples_on_map(index);
  for (int s = candidates.begin; s < candidates.end; ++s) {
    Sample<T> point;
    if (!axis.sample(axis.position(index, s), point)) continue;
    cells.begin = smaller(cells.begin, point.low);
    cells.end = larger(cells.end, point.high + 1);
  }
  return cells;
}

// How much one cell counts in one bin, along one axis: bilinear weights are products of the two
// axes, so the points of a bin, many of which share cells, add up to one weight per row times one
// per column.
template <typename T>
ROI_INLINE T weight(const AlignAxis<T>& axis, int index, int cell) {
  T sum = T(0);
  const Cells candidates = axis.samples_on_map(index);
  for (int s = candidates.begin; s < candidates.end; ++s) {
    Sample<T> point;
    if (!axis.sample(axis.position(index, s), point)) continue;
    if (point.low == cell) sum += point.low_weight;
    if (point.high == cell) sum += point.high_weight;
  }
  return sum;
}

// What the sum over a bin is divided by: all sampling points, on the map or not.
template <typename T>
ROI_INLINE T samples_per_bin(const AlignAxis<T>& rows, const AlignAxis<T>& columns) {
  const int64_t count = static_cast<int64_t>(rows.samples) * columns.samples;
  return static_cast<T>(count > 1 ? count : 1);
}

}  // namespace detection
