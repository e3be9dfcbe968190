// RoI pooling and RoIAlign on the CPU, and the schemas that the CUDA kernels implement too.
//
// Work is cut into units of (block of channels, RoI) forward and (image, block of channels)
// backward.  In a backward unit one thread adds all RoIs of an image to its own channels, in the
// order of the RoIs: no two threads touch one number, so results are the same in every run and for
// every number of threads.
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

// Blocks of channels: a RoI's cells of one block stay in the L2 cache forward, a map of sums does
// backward; and a cache line (16 floats) is never shared by two threads.
constexpr int64_t kForwardBlockBytes = 1024;
constexpr int64_t kBackwardMapBytes = 512 * 1024;
constexpr int64_t kSmallestBlock = 16;
// How many rows of a gradient are asked for ahead of their use.
constexpr int64_t kPrefetchBins = 12;

// Fresh memory costs a page fault and a cleared page on first touch, which takes longer than
// pooling into it; with 2 MiB pages that is one fault in 512.
void prefer_huge_pages(const Tensor& tensor) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr uintptr_t page = 4096;
  const size_t bytes = tensor.numel() * tensor.element_size();
  if (bytes < (size_t(4) << 20)) return;
  const uintptr_t first = reinterpret_cast<uintptr_t>(tensor.data_ptr());
  const uintptr_t begin = (first + page - 1) / page * page;
  const uintptr_t end = (first + bytes) / page * page;
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);  // advice: may fail
#endif
}

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

// [K, 5] in the type that coordinates are computed in: float64 for float64 maps, else float32.
Tensor coordinates(const Tensor& rois, ScalarType features) {
  const ScalarType type =
      features == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
  return torch::stable::contiguous(
      rois.scalar_type() == type ? rois : torch::stable::to(rois, type));
}

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

template <typename T, typename Coordinate, typename Index>
void pool(const Tensor& features, const Tensor& rois, const Bins& bins, Tensor& output,
          Tensor* argmax) {
  typedef typename Pooled<T>::Cell Cell;
  const int64_t images = features.size(0), channels = features.size(1);
  const int height = static_cast<int>(features.size(2));
  const int width = static_cast<int>(features.size(3));
  const int64_t num_rois = rois.size(0), num_bins = bins.count();
  const auto* roi = static_cast<const Coordinate*>(rois.const_data_ptr());
  check_images(roi, num_rois, images);

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
      : std::min<int64_t>(channels, 64);  // a tile of all bins is transposed in cache
  const int64_t blocks = (channels + block - 1) / block;

  torch::stable::parallel_for(0, blocks * num_rois, 1, [&](int64_t begin, int64_t end) {
    std::vector<Cells> rows, columns;
    std::vector<Cell> tile(channels_last ? 0 : num_bins * block);
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t k = unit % num_rois, channel = unit / num_rois * block;
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

template <typename T, typename Coordinate>
void pool_by_index(const Tensor& features, const Tensor& rois, const Bins& bins, Tensor& output,
                   Tensor* argmax) {
  switch (argmax_type(features.size(2), features.size(3))) {
    case ScalarType::Byte:
      return pool<T, Coordinate, uint8_t>(features, rois, bins, output, argmax);
    case ScalarType::Short:
      return pool<T, Coordinate, uint16_t>(features, rois, bins, output, argmax);
    default:
      return pool<T, Coordinate, int32_t>(features, rois, bins, output, argmax);
  }
}

void pool_by_type(const Tensor& features, const Tensor& rois, const Bins& bins, Tensor& output,
                  Tensor* argmax) {
  const Tensor boxes = coordinates(rois, features.scalar_type());
  prefer_huge_pages(output);
  if (argmax) prefer_huge_pages(*argmax);
  switch (features.scalar_type()) {
    case ScalarType::Float:
      return pool_by_index<float, float>(features, boxes, bins, output, argmax);
    case ScalarType::Double:
      return pool_by_index<double, double>(features, boxes, bins, output, argmax);
    case ScalarType::BFloat16:
      return pool_by_index<torch::headeronly::BFloat16, float>(
          features, boxes, bins, output, argmax);
    case ScalarType::Half:
      return pool_by_index<torch::headeronly::Half, float>(
          features, boxes, bins, output, argmax);
    default:
      refuse_type(features);
  }
}

Tensor roi_pool(const Tensor& features, const Tensor& rois, int64_t height, int64_t width,
                double spatial_scale, int64_t bin_step) {
  const Bins bins = checked_bins(features, rois, height, width, spatial_scale, bin_step);
  Tensor output = new_pooled(features, rois.size(0), bins);
  if (output.numel() > 0) pool_by_type(features, rois, bins, output, nullptr);
  return output;
}

std::tuple<Tensor, Tensor> roi_pool_argmax(
    const Tensor& features, const Tensor& rois, int64_t height, int64_t width,
    double spatial_scale, int64_t bin_step) {
  const Bins bins = checked_bins(features, rois, height, width, spatial_scale, bin_step);
  Tensor output = new_pooled(features, rois.size(0), bins);
  Tensor argmax = new_argmax(features, rois.size(0), bins);
  if (output.numel() > 0) pool_by_type(features, rois, bins, output, &argmax);
  return {output, argmax};
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

// Calls add(rows, roi, channel, count, sums) for every valid RoI, in order, and writes the sums of
// each (image, block of channels) into the gradient of the features.  sums: [cells + 1, count].
template <typename Sum, typename Grad, typename Coordinate, typename Add>
void scatter(const Tensor& grad, const Coordinate* rois, const Bins& bins, bool channels_last,
             Tensor& output, const Add& add) {
  const int64_t images = output.size(0), channels = output.size(1);
  const int64_t cells = output.size(2) * output.size(3);
  const auto members = by_image(rois, grad.size(0), images);
  const int64_t fits = kBackwardMapBytes / static_cast<int64_t>(sizeof(Sum)) / cells;
  const int64_t fair = images * channels / torch::stable::get_num_threads();
  const int64_t block = std::min(
      channels, std::max(kSmallestBlock, std::min(fits, fair) / kSmallestBlock * kSmallestBlock));
  const int64_t blocks = (channels + block - 1) / block;
  auto* out = static_cast<Grad*>(output.mutable_data_ptr());

  torch::stable::parallel_for(0, images * blocks, 1, [&](int64_t begin, int64_t end) {
    const std::unique_ptr<Sum[]> sums(new Sum[(cells + 1) * block]);
    std::vector<Grad> line(channels_last ? 0 : cells * block);
    GradRows<Grad> rows(grad, bins, block);
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t image = unit / blocks, channel = unit % blocks * block;
      const int64_t count = std::min(block, channels - channel);
      std::fill_n(sums.get(), (cells + 1) * count, Sum(0));
      for (const int64_t k : members[image]) {
        rows.select(k, channel, count);
        add(rows, k, channel, count, sums.get());
      }
      if (channels_last) {
        for (int64_t cell = 0; cell < cells; ++cell) {
          Grad* to = out + (image * cells + cell) * channels + channel;
          ON_THIS_CPU(convert(sums.get() + cell * count, count, to));
        }
      } else {
        ON_THIS_CPU(convert(sums.get(), cells * count, line.data()));
        transpose(line.data(), count, out + (image * channels + channel) * cells, cells, cells,
                  count);
      }
    }
  });
}

// ---- RoIPool, backward ------------------------------------------------------------------------

template <typename Sum, typename Grad, typename Index>
void unpool(const Tensor& grad, const Tensor& argmax, const Tensor& rois, const Bins& bins,
            bool channels_last, Tensor& output) {
  const int cells = static_cast<int>(output.size(2) * output.size(3));
  const int64_t channels = grad.size(1);
  const auto* where = static_cast<const Index*>(argmax.const_data_ptr());
  const auto* roi = static_cast<const Sum*>(rois.const_data_ptr());
  scatter<Sum, Grad>(
      grad, roi, bins, channels_last, output,
      [&](const GradRows<Grad>& rows, int64_t k, int64_t channel, int64_t count, Sum* sums) {
        const Index* indices = where + k * bins.count() * channels + channel;
        for (int64_t i = 0; i < bins.rows(); ++i) {
          for (int64_t j = 0; j < bins.columns(); ++j, indices += channels) {
            ON_THIS_CPU(unpool_bin(
                rows.row(i, j), indices, kPrefetchBins * channels, static_cast<int>(count), cells, sums));
          }
        }
      });
}

template <typename Sum, typename Grad>
void unpool_by_index(const Tensor& grad, const Tensor& argmax, const Tensor& rois,
                     const Bins& bins, bool channels_last, Tensor& output) {
  switch (argmax.scalar_type()) {
    case ScalarType::Byte:
      return unpool<Sum, Grad, uint8_t>(grad, argmax, rois, bins, channels_last, output);
    case ScalarType::Short:
      return unpool<Sum, Grad, uint16_t>(grad, argmax, rois, bins, channels_last, output);
    default:
      return unpool<Sum, Grad, int32_t>(grad, argmax, rois, bins, channels_last, output);
  }
}

// ``deterministic`` asks for nothing that is not so already.
Tensor roi_pool_backward(
    const Tensor& grad, const Tensor& argmax, const Tensor& rois, int64_t images,
    int64_t map_height, int64_t map_width, int64_t height, int64_t width, double spatial_scale,
    int64_t bin_step, bool channels_last, bool /*deterministic*/) {
  const Bins bins = checked_backward(grad, rois, height, width, spatial_scale, bin_step);
  check_argmax(grad, argmax, map_height, map_width);
  Tensor output = new_grad(grad, images, map_height, map_width, channels_last);
  if (output.numel() == 0) return output;
  if (grad.numel() == 0) return torch::stable::zero_(output);
  const Tensor rows = readable_grad(grad), where = with_dense_channels(argmax);
  const Tensor boxes = coordinates(rois, grad.scalar_type());
  const bool dense = channels_last && output.size(1) > 1;
  prefer_huge_pages(output);
  switch (grad.scalar_type()) {
    case ScalarType::Float:
      unpool_by_index<float, float>(rows, where, boxes, bins, dense, output);
      break;
    case ScalarType::Double:
      unpool_by_index<double, double>(rows, where, boxes, bins, dense, output);
      break;
    case ScalarType::BFloat16:
      unpool_by_index<float, BFloat16Bits>(rows, where, boxes, bins, dense, output);
      break;
    case ScalarType::Half:
      unpool_by_index<float, Float16Bits>(rows, where, boxes, bins, dense, output);
      break;
    default:
      refuse_type(grad);
  }
  return output;
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
void align(const Tensor& features, const Tensor& rois, const Bins& bins, bool channels_last,
           Tensor& output) {
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
  const int64_t block = channels_last || channels == 1
      ? std::min<int64_t>(channels, kForwardBlockBytes / sizeof(T))
      : std::min<int64_t>(channels, 64);
  const int64_t blocks = (channels + block - 1) / block;

  torch::stable::parallel_for(0, blocks * num_rois, 1, [&](int64_t begin, int64_t end) {
    Samples<T> rows, columns;
    std::vector<Tap<T>> taps;
    std::vector<Out> tile(channels_last ? 0 : num_bins * block);
    const std::vector<T> nan(block, std::numeric_limits<T>::quiet_NaN());
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t k = unit % num_rois, channel = unit / num_rois * block;
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

Tensor roi_align(const Tensor& features, const Tensor& rois, int64_t height, int64_t width,
                 double spatial_scale, int64_t sampling_ratio, bool aligned, int64_t bin_step) {
  Bins bins = checked_bins(features, rois, height, width, spatial_scale, bin_step);
  bins.sampling_ratio = checked_int(sampling_ratio, "sampling_ratio");
  bins.aligned = aligned;
  Tensor output = new_pooled(features, rois.size(0), bins);
  if (output.numel() == 0) return output;
  prefer_huge_pages(output);
  const ScalarType type = features.scalar_type();
  const Tensor boxes = coordinates(rois, type);
  Tensor map = with_dense_channels(features);
  const bool dense = is_channels_last(features);
  switch (type) {
    case ScalarType::Float:
      align<float, float>(map, boxes, bins, dense, output);
      break;
    case ScalarType::Double:
      align<double, double>(map, boxes, bins, dense, output);
      break;
    // A cell is read by many sampling points: cheaper to widen the map once.
    case ScalarType::BFloat16:
      map = torch::stable::to(map, ScalarType::Float);
      align<float, BFloat16Bits>(map, boxes, bins, dense, output);
      break;
    case ScalarType::Half:
      map = torch::stable::to(map, ScalarType::Float);
      align<float, Float16Bits>(map, boxes, bins, dense, output);
      break;
    default:
      refuse_type(features);
  }
  return output;
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

template <typename T, typename Grad>
void unalign(const Tensor& grad, const Tensor& rois, const Bins& bins, bool channels_last,
             Tensor& output) {
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

  scatter<T, Grad>(
      grad, roi, bins, channels_last, output,
      [&](const GradRows<Grad>& rows, int64_t k, int64_t, int64_t count, T* sums) {
        const CellWeights<T>& vertical = weights[k].rows;
        const CellWeights<T>& horizontal = weights[k].columns;
        for (int64_t i = 0; i < bins.rows(); ++i) {
          for (int64_t j = 0; j < bins.columns(); ++j) {
            ON_THIS_CPU(unalign_bin(
                rows.row(i, j), kPrefetchBins * channels, static_cast<int>(count), vertical.cells[i],
                vertical.weights.data() + vertical.first[i], horizontal.cells[j],
                horizontal.weights.data() + horizontal.first[j], width, sums));
          }
        }
      });
}

Tensor roi_align_backward(
    const Tensor& grad, const Tensor& rois, int64_t images, int64_t map_height, int64_t map_width,
    int64_t height, int64_t width, double spatial_scale, int64_t sampling_ratio, bool aligned,
    int64_t bin_step, bool channels_last, bool /*deterministic*/) {
  Bins bins = checked_backward(grad, rois, height, width, spatial_scale, bin_step);
  bins.sampling_ratio = checked_int(sampling_ratio, "sampling_ratio");
  bins.aligned = aligned;
  Tensor output = new_grad(grad, images, map_height, map_width, channels_last);
  if (output.numel() == 0) return output;
  if (grad.numel() == 0) return torch::stable::zero_(output);
  const Tensor rows = readable_grad(grad);
  const Tensor boxes = coordinates(rois, grad.scalar_type());
  const bool dense = channels_last && output.size(1) > 1;
  prefer_huge_pages(output);
  switch (grad.scalar_type()) {
    case ScalarType::Float:
      unalign<float, float>(rows, boxes, bins, dense, output);
      break;
    case ScalarType::Double:
      unalign<double, double>(rows, boxes, bins, dense, output);
      break;
    case ScalarType::BFloat16:
      unalign<float, BFloat16Bits>(rows, boxes, bins, dense, output);
      break;
    case ScalarType::Half:
      unalign<float, Float16Bits>(rows, boxes, bins, dense, output);
      break;
    default:
      refuse_type(grad);
  }
  return output;
}

}  // namespace
}  // namespace detection

// ---- Registration -----------------------------------------------------------------------------

STABLE_TORCH_LIBRARY(detection, library) { detection::define_operators(library); }

STABLE_TORCH_LIBRARY_IMPL(detection, CPU, library) {
  library.impl("roi_pool", TORCH_BOX(&detection::roi_pool));
  library.impl("roi_pool_argmax", TORCH_BOX(&detection::roi_pool_argmax));
  library.impl("roi_pool_backward", TORCH_BOX(&detection::roi_pool_backward));
  library.impl("roi_align", TORCH_BOX(&detection::roi_align));
  library.impl("roi_align_backward", TORCH_BOX(&detection::roi_align_backward));
}

// What this file was built by and for; read by `python -m detection.ops`.
extern "C" __attribute__((visibility("default"))) const char* detection_ops_build() {
  return ROI_BUILD;
}
