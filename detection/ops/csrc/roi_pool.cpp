// RoI pooling, RoIAlign and NMS on the CPU, and the schemas that the CUDA kernels implement too.
//
// Work is cut into units of (RoI, block of channels) forward and (image, share of the channels)
// backward.  Forward, a thread takes neighbouring RoIs, so that it writes one stretch of memory.  In
// a backward unit one thread adds all RoIs of an image to its own channels, in the order of the
// RoIs: no two threads touch one number, so results are the same in every run and for every number
// of threads.
//
// Only LibTorch's stable ABI is used (torch/csrc/stable, torch/headeronly): the binary runs under
// every torch from TORCH_TARGET_VERSION on, and under every Python.

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/MemoryFormat.h>
#include <torch/headeronly/core/ScalarType.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <tuple>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "roi_build.h"
#include "roi_geometry.h"
#include "roi_operators.h"

#define ROI_ISA baseline
#define ROI_TARGET
#define ROI_VECTOR_BYTES 16
#include "roi_kernels.h"
#undef ROI_ISA
#undef ROI_TARGET
#undef ROI_VECTOR_BYTES

#if defined(__x86_64__)
#define ROI_ISA avx2
#define ROI_TARGET __attribute__((target("avx2")))
#define ROI_VECTOR_BYTES 32
#include "roi_kernels.h"
#undef ROI_ISA
#undef ROI_TARGET
#undef ROI_VECTOR_BYTES
// Calls the version of a kernel that this processor can run.
#define ON_THIS_CPU(...) (has_avx2() ? avx2::__VA_ARGS__ : baseline::__VA_ARGS__)
#else
#define ON_THIS_CPU(...) (baseline::__VA_ARGS__)
#endif

namespace detection {
namespace {

using torch::headeronly::MemoryFormat;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;

#if defined(__x86_64__)
// DETECTION_OPS_ISA=baseline switches AVX2 off, for tests and for comparing.
bool has_avx2() {
  static const bool answer = [] {
    const char* wanted = std::getenv("DETECTION_OPS_ISA");
    return !(wanted && std::strcmp(wanted, "baseline") == 0) && __builtin_cpu_supports("avx2");
  }();
  return answer;
}
#endif

// Backward, a map of sums may take this much: it shares the last cache with its like, and a RoI's
// part of it stays in the L2 cache.  Wide shares are read in long stretches, page by page; narrow
// ones, of which many fit in the L2 cache, take twice as long over finding the pages.
constexpr int64_t kBackwardMapBytes = 8 << 20;
constexpr int64_t kSmallestShare = 16;  // a cache line, never shared by two threads
// Channels at a time, forward: a RoI's cells of one block stay in the L2 cache.
constexpr int64_t kForwardBlockBytes = 4096;
// Channels at a time where channels are no neighbours: a tile of all bins is transposed in cache.
constexpr int64_t kTileChannels = 64;
// How much of a gradient is asked for ahead of its use: a microsecond's work, several times what
// memory takes to answer.  From 4 to 24 KiB it makes little difference.
constexpr int64_t kPrefetchBytes = 8192;

// Fresh memory costs a page fault and a cleared page on first touch: 0.13 s for the 240 MB of 300
// RoIs in 4 KiB pages, several times as long as pooling into it, and a sixth of that in 2 MiB pages.
// Two threads that touch one such page at the same time clear it twice.
void prefer_huge_pages(void* memory, size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr uintptr_t page = 4096;
  if (bytes < (size_t(4) << 20)) return;
  const uintptr_t first = reinterpret_cast<uintptr_t>(memory);
  const uintptr_t begin = (first + page - 1) / page * page;
  const uintptr_t end = (first + bytes) / page * page;
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);  // advice: may fail
#endif
}

void prefer_huge_pages(const Tensor& tensor) {
  prefer_huge_pages(tensor.data_ptr(), tensor.numel() * tensor.element_size());
}

// What the numbers of a gradient or of an average are read and written as.
template <typename T>
struct StoredAs {
  typedef T type;
};
template <>
struct StoredAs<torch::headeronly::BFloat16> {
  typedef BFloat16Bits type;
};
template <>
struct StoredAs<torch::headeronly::Half> {
  typedef Float16Bits type;
};
template <typename T>
using Stored = typename StoredAs<T>::type;

// ---- Layout -----------------------------------------------------------------------------------

// A [N, C, H, W] tensor whose channels are neighbours, with any other strides.
bool has_dense_channels(const Tensor& tensor) {
  return tensor.size(1) == 1 || tensor.stride(1) == 1;
}

Tensor with_dense_channels(const Tensor& tensor) {
  return has_dense_channels(tensor)
      ? tensor
      : torch::stable::contiguous(tensor, MemoryFormat::ChannelsLast);
}

template <int Bytes>
struct Unsigned;
template <>
struct Unsigned<2> {
  typedef uint16_t type;
};
template <>
struct Unsigned<4> {
  typedef uint32_t type;
};
template <>
struct Unsigned<8> {
  typedef uint64_t type;
};

template <typename T>
void transpose(
    const T* from, int64_t from_stride, T* to, int64_t to_stride, int64_t rows, int64_t columns) {
  typedef typename Unsigned<sizeof(T)>::type U;
  ON_THIS_CPU(transpose<U>(
      reinterpret_cast<const U*>(from), from_stride, reinterpret_cast<U*>(to), to_stride, rows,
      columns));
}

// ---- RoIs -------------------------------------------------------------------------------------

template <typename T>
void check_images(const T* rois, int64_t num_rois, int64_t images) {
  for (int64_t k = 0; k < num_rois; ++k) {
    const T image = rois[5 * k];
    STD_TORCH_CHECK(
        image - image != T(0) || (image >= T(0) && image < static_cast<T>(images)),
        "rois[", k, ", 0] = ", image, " is no image of the batch: features hold ", images,
        " images, numbered from 0");
  }
}

// The RoIs of each image, in their order; those that cannot be pooled are left out.
template <typename T>
std::vector<std::vector<int64_t>> by_image(const T* rois, int64_t num_rois, int64_t images) {
  std::vector<std::vector<int64_t>> members(images);
  for (int64_t k = 0; k < num_rois; ++k) {
    if (is_valid(rois + 5 * k, images)) members[static_cast<int64_t>(rois[5 * k])].push_back(k);
  }
  return members;
}

// ---- RoIPool ----------------------------------------------------------------------------------

template <typename T>
void pool_windows(const T* roi, const Bins& bins, int height, int width,
                  std::vector<Cells>& rows, std::vector<Cells>& columns) {
  const T scale = static_cast<T>(bins.spatial_scale);
  const PoolAxis<T> vertical(roi[2], roi[4], scale, bins.height, height);
  const PoolAxis<T> horizontal(roi[1], roi[3], scale, bins.width, width);
  rows.clear();
  columns.clear();
  for (int i = 0; i < bins.height; i += bins.step) rows.push_back(vertical.cells(i));
  for (int j = 0; j < bins.width; j += bins.step) columns.push_back(horizontal.cells(j));
}

// What the maxima are taken over: the features themselves, or the sortable keys of 16-bit floats.
template <typename T>
struct Pooled {
  typedef T Cell;
  static constexpr T lowest = std::numeric_limits<T>::lowest();
  static constexpr T nan = std::numeric_limits<T>::quiet_NaN();
};
template <>
struct Pooled<torch::headeronly::BFloat16> {
  typedef int16_t Cell;
  static constexpr int16_t lowest = int16_t(0xff7f ^ 0x7fff);
  static constexpr int16_t nan = 0x7fc0;
  static constexpr int infinity = 0x7f80;
};
template <>
struct Pooled<torch::headeronly::Half> {
  typedef int16_t Cell;
  static constexpr int16_t lowest = int16_t(0xfbff ^ 0x7fff);
  static constexpr int16_t nan = 0x7e00;
  static constexpr int infinity = 0x7c00;
};

// Keys of a map, dense and channels-last: [N, H, W, C].
Tensor keys_of(const Tensor& features, int infinity) {
  const int64_t images = features.size(0), channels = features.size(1);
  const int64_t height = features.size(2), width = features.size(3);
  Tensor keys = torch::stable::new_empty(
      features, {images, height, width, channels}, ScalarType::Short);
  const auto* from = static_cast<const uint16_t*>(features.const_data_ptr());
  auto* to = static_cast<int16_t*>(keys.mutable_data_ptr());
  const int64_t image_stride = features.stride(0);
  const int64_t row_stride = features.stride(2), column_stride = features.stride(3);
  torch::stable::parallel_for(0, images * height, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const uint16_t* row = from + i / height * image_stride + i % height * row_stride;
      int16_t* out = to + i * width * channels;
      if (column_stride == channels) {
        ON_THIS_CPU(floats_to_keys(row, out, width * channels, infinity));
      } else {
        for (int64_t x = 0; x < width; ++x) {
          ON_THIS_CPU(floats_to_keys(
              row + x * column_stride, out + x * channels, channels, infinity));
        }
      }
    }
  });
  return keys;
}

template <typename T, typename Index>
void pool(const Tensor& features, const Tensor& rois, const Bins& bins, Tensor& output,
          Tensor* argmax) {
  typedef typename Pooled<T>::Cell Cell;
  const int64_t images = features.size(0), channels = features.size(1);
  const int height = static_cast<int>(features.size(2));
  const int width = static_cast<int>(features.size(3));
  const int64_t num_rois = rois.size(0), num_bins = bins.count();
  const auto* roi = static_cast<const Wide<T>*>(rois.const_data_ptr());
  check_images(roi, num_rois, images);
  prefer_huge_pages(output);
  if (argmax) prefer_huge_pages(*argmax);

  const Tensor dense = with_dense_channels(features);
  int64_t image_stride = dense.stride(0);
  int64_t row_stride = dense.stride(2), column_stride = dense.stride(3);
  Tensor keys = dense;
  if constexpr (sizeof(T) == 2) {
    keys = keys_of(dense, Pooled<T>::infinity);
    column_stride = channels;
    row_stride = width * column_stride;
    image_stride = height * row_stride;
  }
  const auto* cells = static_cast<const Cell*>(keys.const_data_ptr());
  auto* out = static_cast<Cell*>(output.mutable_data_ptr());
  auto* where = argmax ? static_cast<Index*>(argmax->mutable_data_ptr()) : nullptr;
  const bool channels_last = is_channels_last(features);
  const int64_t block = channels_last || channels == 1
      ? std::min<int64_t>(channels, kForwardBlockBytes / sizeof(T))
      : std::min(channels, kTileChannels);
  const int64_t blocks = (channels + block - 1) / block;

  torch::stable::parallel_for(0, blocks * num_rois, 1, [&](int64_t begin, int64_t end) {
    std::vector<Cells> rows, columns;
    std::vector<Cell> tile(channels_last ? 0 : num_bins * block);
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t k = unit / blocks, channel = unit % blocks * block;
      const int count = static_cast<int>(std::min(block, channels - channel));
      Cell* target = channels_last ? out + k * num_bins * channels + channel : tile.data();
      const int64_t stride = channels_last ? channels : block;
      Index* indices = where ? where + k * num_bins * channels + channel : nullptr;
      if (is_valid(roi + 5 * k, images)) {
        pool_windows(roi + 5 * k, bins, height, width, rows, columns);
        const int64_t image = static_cast<int64_t>(roi[5 * k]);
        const Cell* from = cells + image * image_stride + channel;
        const int num_rows = static_cast<int>(rows.size());
        const int num_columns = static_cast<int>(columns.size());
#define POOL(isa, with_argmax)                                                                  \
  isa::pool_roi<Cell, Index, with_argmax>(                                                      \
      Map<Cell>{from, row_stride, column_stride, width}, rows.data(), num_rows,             \
      columns.data(), num_columns, count, Pooled<T>::lowest, target, indices, stride, channels)
#if defined(__x86_64__)
        if (has_avx2()) {
          indices ? POOL(avx2, true) : POOL(avx2, false);
        } else {
          indices ? POOL(baseline, true) : POOL(baseline, false);
        }
#else
        indices ? POOL(baseline, true) : POOL(baseline, false);
#endif
#undef POOL
      } else {
        for (int64_t bin = 0; bin < num_bins; ++bin) {
          std::fill_n(target + bin * stride, count, Pooled<T>::nan);
          if (indices) std::fill_n(indices + bin * channels, count, static_cast<Index>(-1));
        }
      }
      if (!channels_last) {
        Cell* to = out + (k * channels + channel) * num_bins;
        transpose(tile.data(), block, to, num_bins, num_bins, count);
      }
    }
  });
}

// ---- Backward, common to both -----------------------------------------------------------------

// Rows of channels of a gradient [K, C, bins]: as they lie in memory if channels are neighbours,
// else through a transposed copy of one RoI.
template <typename Grad>
class GradRows {
 public:
  GradRows(const Tensor& grad, const Bins& bins, int64_t block)
      : data_(static_cast<const Grad*>(grad.const_data_ptr())),
        channels_(grad.size(1)), columns_(bins.columns()), num_bins_(bins.count()),
        block_(block), dense_(has_dense_channels(grad)),
        roi_stride_(grad.stride(0)), row_stride_(grad.stride(2)),
        column_stride_(grad.stride(3)), tile_(dense_ ? 0 : num_bins_ * block) {}

  void select(int64_t roi, int64_t channel, int64_t count) {
    if (dense_) {
      rows_ = data_ + roi * roi_stride_ + channel;
    } else {
      const Grad* from = data_ + (roi * channels_ + channel) * num_bins_;
      transpose(from, num_bins_, tile_.data(), block_, count, num_bins_);
    }
  }

  const Grad* row(int64_t i, int64_t j) const {
    return dense_ ? rows_ + i * row_stride_ + j * column_stride_
                  : tile_.data() + (i * columns_ + j) * block_;
  }

 private:
  const Grad* data_;
  const Grad* rows_ = nullptr;
  int64_t channels_, columns_, num_bins_, block_;
  bool dense_;
  int64_t roi_stride_, row_stride_, column_stride_;
  std::vector<Grad> tile_;
};

// Strides that GradRows can walk: neighbouring channels, or contiguous [K, C, rows, columns].
Tensor readable_grad(const Tensor& grad) {
  return has_dense_channels(grad) ? grad : torch::stable::contiguous(grad);
}

template <typename T>
int64_t prefetched_bins(int64_t channels) {
  return std::max<int64_t>(1, kPrefetchBytes / static_cast<int64_t>(channels * sizeof(T)));
}

// Calls add(rows, roi, channel, count, sums, stride) for every valid RoI, in order, and every block
// of channels, and writes the sums into the gradient of the features.  sums: [cells, stride].
template <typename T, typename Add>
void scatter(const Tensor& grad, const Wide<T>* rois, const Bins& bins, Tensor& output,
             const Add& add) {
  typedef Wide<T> Sum;
  typedef Stored<T> Grad;
  const int64_t images = output.size(0), channels = output.size(1);
  const int64_t cells = output.size(2) * output.size(3);
  const bool channels_last = is_channels_last(output);
  const auto members = by_image(rois, grad.size(0), images);
  const int64_t fits = kBackwardMapBytes / static_cast<int64_t>(sizeof(Sum)) / cells;
  const int64_t fair = images * channels / torch::stable::get_num_threads();
  const int64_t share = std::min(
      channels, std::max(kSmallestShare, std::min(fits, fair) / kSmallestShare * kSmallestShare));
  const int64_t shares = (channels + share - 1) / share;
  auto* out = static_cast<Grad*>(output.mutable_data_ptr());
  prefer_huge_pages(output);

  torch::stable::parallel_for(0, images * shares, 1, [&](int64_t begin, int64_t end) {
    const std::unique_ptr<Sum[]> sums(new Sum[cells * share]);
    prefer_huge_pages(sums.get(), cells * share * sizeof(Sum));
    std::vector<Grad> line(channels_last ? 0 : cells * share);
    const int64_t block = has_dense_channels(grad) ? share : std::min(share, kTileChannels);
    GradRows<Grad> rows(grad, bins, block);
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t image = unit / shares, first = unit % shares * share;
      const int64_t stride = std::min(share, channels - first);
      std::fill_n(sums.get(), cells * stride, Sum(0));
      for (const int64_t k : members[image]) {
        for (int64_t channel = 0; channel < stride; channel += block) {
          const int64_t count = std::min(block, stride - channel);
          rows.select(k, first + channel, count);
          add(rows, k, first + channel, count, sums.get() + channel, stride);
        }
      }
      if (channels_last) {
        for (int64_t cell = 0; cell < cells; ++cell) {
          Grad* to = out + (image * cells + cell) * channels + first;
          ON_THIS_CPU(convert(sums.get() + cell * stride, stride, to));
        }
      } else {
        ON_THIS_CPU(convert(sums.get(), cells * stride, line.data()));
        transpose(line.data(), stride, out + (image * channels + first) * cells, cells, cells,
                  stride);
      }
    }
  });
}

// ---- RoIPool, backward ------------------------------------------------------------------------

template <typename T, typename Index>
void unpool(const Tensor& grad, const Tensor& argmax, const Tensor& rois, const Bins& bins,
            Tensor& output) {
  const int height = static_cast<int>(output.size(2));
  const int width = static_cast<int>(output.size(3));
  const int64_t num_rois = rois.size(0), channels = grad.size(1);
  const auto* where = static_cast<const Index*>(argmax.const_data_ptr());
  const auto* roi = static_cast<const Wide<T>*>(rois.const_data_ptr());

  struct Windows {
    std::vector<Cells> rows, columns;
  };
  std::vector<Windows> windows(num_rois);
  for (int64_t k = 0; k < num_rois; ++k) {
    if (!is_valid(roi + 5 * k, output.size(0))) continue;
    pool_windows(roi + 5 * k, bins, height, width, windows[k].rows, windows[k].columns);
  }

  scatter<T>(grad, roi, bins, output,
             [&](const GradRows<Stored<T>>& rows, int64_t k, int64_t channel, int64_t count,
                 Wide<T>* sums, int64_t stride) {
    const Index* indices = where + k * bins.count() * channels + channel;
    const int64_t ahead = prefetched_bins<T>(count);
    for (int64_t i = 0; i < bins.rows(); ++i) {
      for (int64_t j = 0; j < bins.columns(); ++j, indices += channels) {
        ON_THIS_CPU(unpool_bin(
            rows.row(i, j), indices, ahead * channels, static_cast<int>(count),
            windows[k].rows[i], windows[k].columns[j], height * width, width, sums, stride));
      }
    }
  });
}

// ---- RoIAlign ---------------------------------------------------------------------------------

// The sampling points of one axis, bin after bin: those of bin i are [first[i], first[i + 1]).
template <typename T>
struct Samples {
  std::vector<Sample<T>> points;
  std::vector<int> first;

  void fill(const AlignAxis<T>& axis, int bins, int step) {
    points.clear();
    first.assign(1, 0);
    for (int i = 0; i < bins; i += step) {
      const Cells candidates = axis.samples_on_map(i);
      for (int s = candidates.begin; s < candidates.end; ++s) {
        Sample<T> point;
        if (axis.sample(axis.position(i, s), point)) points.push_back(point);
      }
      first.push_back(static_cast<int>(points.size()));
    }
  }
};

template <typename T>
AlignAxis<T> vertical_axis(const T* roi, const Bins& bins, int extent) {
  return {roi[2], roi[4], static_cast<T>(bins.spatial_scale), bins.height,
          bins.sampling_ratio, bins.aligned, extent};
}

template <typename T>
AlignAxis<T> horizontal_axis(const T* roi, const Bins& bins, int extent) {
  return {roi[1], roi[3], static_cast<T>(bins.spatial_scale), bins.width,
          bins.sampling_ratio, bins.aligned, extent};
}

template <typename T, typename Out>
void align(const Tensor& features, const Tensor& rois, const Bins& bins, Tensor& output) {
  const int64_t images = features.size(0), channels = features.size(1);
  const int height = static_cast<int>(features.size(2));
  const int width = static_cast<int>(features.size(3));
  const int64_t num_rois = rois.size(0), num_bins = bins.count();
  const auto* roi = static_cast<const T*>(rois.const_data_ptr());
  check_images(roi, num_rois, images);

  const int64_t image_stride = features.stride(0);
  const int64_t row_stride = features.stride(2), column_stride = features.stride(3);
  const auto* cells = static_cast<const T*>(features.const_data_ptr());
  auto* out = static_cast<Out*>(output.mutable_data_ptr());
  const bool channels_last = is_channels_last(output);
  prefer_huge_pages(output);
  const int64_t block = channels_last || channels == 1
      ? std::min<int64_t>(channels, kForwardBlockBytes / sizeof(T))
      : std::min(channels, kTileChannels);
  const int64_t blocks = (channels + block - 1) / block;

  torch::stable::parallel_for(0, blocks * num_rois, 1, [&](int64_t begin, int64_t end) {
    Samples<T> rows, columns;
    std::vector<Tap<T>> taps;
    std::vector<Out> tile(channels_last ? 0 : num_bins * block);
    const std::vector<T> nan(block, std::numeric_limits<T>::quiet_NaN());
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t k = unit / blocks, channel = unit % blocks * block;
      const int count = static_cast<int>(std::min(block, channels - channel));
      Out* target = channels_last ? out + k * num_bins * channels + channel : tile.data();
      const int64_t stride = channels_last ? channels : block;
      if (is_valid(roi + 5 * k, images)) {
        const auto vertical = vertical_axis(roi + 5 * k, bins, height);
        const auto horizontal = horizontal_axis(roi + 5 * k, bins, width);
        rows.fill(vertical, bins.height, bins.step);
        columns.fill(horizontal, bins.width, bins.step);
        const T divisor = samples_per_bin(vertical, horizontal);
        const int64_t image = static_cast<int64_t>(roi[5 * k]);
        const T* from = cells + image * image_stride + channel;
        for (int64_t i = 0; i < bins.rows(); ++i) {
          for (int64_t j = 0; j < bins.columns(); ++j, target += stride) {
            taps.clear();
            for (int s = rows.first[i]; s < rows.first[i + 1]; ++s) {
              const Sample<T>& y = rows.points[s];
              for (int t = columns.first[j]; t < columns.first[j + 1]; ++t) {
                const Sample<T>& x = columns.points[t];
                taps.push_back(
                    {{y.low * row_stride + x.low * column_stride,
                      y.low * row_stride + x.high * column_stride,
                      y.high * row_stride + x.low * column_stride,
                      y.high * row_stride + x.high * column_stride},
                     {y.low_weight * x.low_weight, y.low_weight * x.high_weight,
                      y.high_weight * x.low_weight, y.high_weight * x.high_weight}});
              }
            }
            ON_THIS_CPU(align_bin(
                from, taps.data(), static_cast<int>(taps.size()), count, divisor, target));
          }
        }
      } else {
        for (int64_t bin = 0; bin < num_bins; ++bin) {
          ON_THIS_CPU(convert(nan.data(), count, target + bin * stride));
        }
      }
      if (!channels_last) {
        transpose(tile.data(), block, out + (k * channels + channel) * num_bins, num_bins,
                  num_bins, count);
      }
    }
  });
}

// ---- RoIAlign, backward -----------------------------------------------------------------------

// How much each cell of one axis counts in each bin: bilinear weights are products of the two
// axes, so the sampling points of a bin, many of which share cells, add up to one weight per row
// times one per column.
template <typename T>
struct CellWeights {
  std::vector<Cells> cells;  // per bin
  std::vector<int> first;    // per bin: its first weight
  std::vector<T> weights;

  void fill(const Samples<T>& samples) {
    cells.clear();
    first.clear();
    weights.clear();
    for (size_t i = 0; i + 1 < samples.first.size(); ++i) {
      const Sample<T>* begin = samples.points.data() + samples.first[i];
      const Sample<T>* end = samples.points.data() + samples.first[i + 1];
      first.push_back(static_cast<int>(weights.size()));
      if (begin == end) {
        cells.push_back({0, 0});
        continue;
      }
      // Positions rise within a bin (fall, if the RoI has a negative size: then there are none,
      // or with a fixed sampling ratio, they are visited in falling order).
      int low = begin->low, high = begin->high;
      for (const Sample<T>* s = begin; s != end; ++s) {
        low = std::min(low, s->low);
        high = std::max(high, s->high);
      }
      cells.push_back({low, high + 1});
      weights.resize(first.back() + high + 1 - low, T(0));
      T* of_bin = weights.data() + first.back() - low;
      for (const Sample<T>* s = begin; s != end; ++s) {
        of_bin[s->low] += s->low_weight;
        of_bin[s->high] += s->high_weight;
      }
    }
  }

  void divide(T divisor) {
    for (T& weight : weights) weight /= divisor;
  }
};

template <typename Number>
void unalign(const Tensor& grad, const Tensor& rois, const Bins& bins, Tensor& output) {
  typedef Wide<Number> T;
  const int height = static_cast<int>(output.size(2));
  const int width = static_cast<int>(output.size(3));
  const int64_t num_rois = rois.size(0), channels = output.size(1);
  const auto* roi = static_cast<const T*>(rois.const_data_ptr());

  struct RoiWeights {
    CellWeights<T> rows, columns;
  };
  std::vector<RoiWeights> weights(num_rois);
  torch::stable::parallel_for(0, num_rois, 16, [&](int64_t begin, int64_t end) {
    Samples<T> samples;
    for (int64_t k = begin; k < end; ++k) {
      if (!is_valid(roi + 5 * k, output.size(0))) continue;
      const auto vertical = vertical_axis(roi + 5 * k, bins, height);
      const auto horizontal = horizontal_axis(roi + 5 * k, bins, width);
      samples.fill(vertical, bins.height, bins.step);
      weights[k].rows.fill(samples);
      weights[k].rows.divide(samples_per_bin(vertical, horizontal));
      samples.fill(horizontal, bins.width, bins.step);
      weights[k].columns.fill(samples);
    }
  });

  scatter<Number>(grad, roi, bins, output,
                  [&](const GradRows<Stored<Number>>& rows, int64_t k, int64_t, int64_t count,
                      T* sums, int64_t stride) {
    const CellWeights<T>& vertical = weights[k].rows;
    const CellWeights<T>& horizontal = weights[k].columns;
    const int64_t ahead = prefetched_bins<Number>(count);
    for (int64_t i = 0; i < bins.rows(); ++i) {
      for (int64_t j = 0; j < bins.columns(); ++j) {
        ON_THIS_CPU(unalign_bin(
            rows.row(i, j), ahead * channels, static_cast<int>(count),
            vertical.cells[i], vertical.weights.data() + vertical.first[i], horizontal.cells[j],
            horizontal.weights.data() + horizontal.first[j], width, sums, stride));
      }
    }
  });
}

// ---- NMS --------------------------------------------------------------------------------------

// Each box, best first, is compared with the survivors before it, side by side in vector registers;
// torchvision's compares each survivor with all boxes behind it, one after the other.
template <typename T>
void survivors(const Tensor& boxes, const Tensor& usable, T threshold, int limit, Tensor& kept,
               Tensor& found) {
  constexpr int64_t step = kNmsStep / sizeof(T);
  const int64_t count = boxes.size(1);
  const int64_t stride = (std::min<int64_t>(limit, count) + step - 1) / step * step;
  torch::stable::parallel_for(0, boxes.size(0), 1, [&](int64_t begin, int64_t end) {
    for (int64_t image = begin; image < end; ++image) {
      const T* box = static_cast<const T*>(boxes.const_data_ptr()) + 4 * image * count;
      const bool* flag = static_cast<const bool*>(usable.const_data_ptr()) + image * count;
      int64_t* numbers = static_cast<int64_t*>(kept.data_ptr()) + image * limit;
      std::vector<T> before(5 * stride, std::numeric_limits<T>::quiet_NaN());
      int64_t total = 0;
      for (int64_t i = 0; i < count && total < limit; ++i, box += 4) {
        if (!flag[i] ||
            ON_THIS_CPU(is_suppressed(before.data(), stride, total, box, threshold))) continue;
        for (int side = 0; side < 4; ++side) before[side * stride + total] = box[side];
        before[4 * stride + total] = (box[2] - box[0]) * (box[3] - box[1]);
        numbers[total++] = i;
      }
      std::fill(numbers + total, numbers + limit, 0);
      static_cast<int64_t*>(found.data_ptr())[image] = total;
    }
  });
}

// ``deterministic`` asks for nothing that is not so already.
struct CpuKernels {
  static constexpr int64_t most_boxes = std::numeric_limits<int>::max();

  template <typename T>
  static void survivors(const Tensor& boxes, const Tensor& usable, T threshold, int limit,
                        Tensor& kept, Tensor& found) {
    detection::survivors<T>(boxes, usable, threshold, limit, kept, found);
  }

  template <typename T, typename Index>
  static void pool(const Tensor& features, const Tensor& boxes, const Bins& bins, Tensor& output,
                   Tensor* argmax) {
    detection::pool<T, Index>(features, boxes, bins, output, argmax);
  }

  template <typename T, typename Index>
  static void unpool(const Tensor& grad, const Tensor& argmax, const Tensor& boxes,
                     const Bins& bins, bool /*deterministic*/, Tensor& output) {
    detection::unpool<T, Index>(
        readable_grad(grad), with_dense_channels(argmax), boxes, bins, output);
  }

  template <typename T>
  static void align(const Tensor& features, const Tensor& boxes, const Bins& bins,
                    Tensor& output) {
    Tensor map = with_dense_channels(features);
    // A cell is read by many sampling points: cheaper to widen the map once.
    if (sizeof(T) == 2) map = torch::stable::to(map, ScalarType::Float);
    detection::align<Wide<T>, Stored<T>>(map, boxes, bins, output);
  }

  template <typename T>
  static void unalign(const Tensor& grad, const Tensor& boxes, const Bins& bins,
                      bool /*deterministic*/, Tensor& output) {
    detection::unalign<T>(readable_grad(grad), boxes, bins, output);
  }
};

}  // namespace
}  // namespace detection

// ---- Registration -----------------------------------------------------------------------------

STABLE_TORCH_LIBRARY(detection, library) { detection::define_operators(library); }

STABLE_TORCH_LIBRARY_IMPL(detection, CPU, library) {
  detection::Operators<detection::CpuKernels>::implement(library);
}

// What this file was built by and for; read by `python -m detection.ops`.
extern "C" __attribute__((visibility("default"))) const char* detection_ops_build() {
  return ROI_BUILD;
}
