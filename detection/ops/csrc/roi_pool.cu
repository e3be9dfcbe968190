// RoI pooling and RoIAlign on CUDA devices: the operators of roi_pool.cpp, with the same geometry.
//
// A block works on one RoI (forward, and backward by atomic additions) or on one cell of the map
// (the deterministic backward, which gathers).  In a channels-last map neighbouring threads take
// neighbouring channels, 16 bytes each, so that every access is a full line; in an NCHW map they
// take neighbouring bins.
//
// Compiled with -fmad=false: forward results are those of the CPU to the last bit, and the kernels
// wait for memory, not for arithmetic.  Stable ABI, and the CUDA runtime is linked statically: the
// binary depends neither on torch's version nor on its CUDA's.

// tests/ops/cuda_on_cpu.h defines ROI_ON_CPU and what is defined here, and runs the kernels in loops
// on a machine without a GPU.
#ifndef ROI_ON_CPU
#include <cuda_runtime.h>
#define ROI_LAUNCH(kernel, grid, threads, stream, ...) \
  kernel<<<grid, threads, 0, stream>>>(__VA_ARGS__)
#define ROI_LIBRARY detection
#define ROI_DEVICE CUDA
#define ROI_BLOCK_THREADS 1024
#endif

#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <tuple>
#include <type_traits>

#include "roi_build.h"
#include "roi_geometry.h"
#include "roi_operators.h"

namespace detection {
namespace {

using torch::headeronly::BFloat16;
using torch::headeronly::Half;
using torch::headeronly::ScalarType;
using torch::stable::Tensor;

constexpr int kThreads = 256;

template <typename T>
struct Lowest;
template <>
struct Lowest<float> {
  static constexpr float value = -3.402823466e+38f;
};
template <>
struct Lowest<double> {
  static constexpr double value = -1.7976931348623157e+308;
};
template <>
struct Lowest<Half> {
  static constexpr float value = -65504.0f;
};
template <>
struct Lowest<BFloat16> {
  static constexpr float value = -3.3895313892515355e+38f;
};

template <typename T, int Size>
struct alignas(sizeof(T) * Size) Vector {
  T lane[Size];
};

// A [N, C, H, W] tensor of any strides, in elements.
template <typename T>
struct View {
  T* data;
  int64_t image, channel, row, column;

  ROI_INLINE T* at(int64_t n, int64_t c, int64_t y, int64_t x) const {
    return data + n * image + c * channel + y * row + x * column;
  }
};

template <typename T>
View<T> view(const Tensor& tensor) {
  T* data = const_cast<T*>(static_cast<const T*>(tensor.const_data_ptr()));
  return {data, tensor.stride(0), tensor.stride(1), tensor.stride(2), tensor.stride(3)};
}

// The work on one RoI: element e is one bin of Size neighbouring channels.
struct Grid {
  int channels, rows, columns;  // of the output
  int height, width;            // of the map
  int64_t images;
  Bins bins;

  template <bool ChannelsLast, int Size>
  ROI_INLINE int elements() const {
    return channels / Size * rows * columns;
  }

  template <bool ChannelsLast, int Size>
  ROI_INLINE void locate(int element, int& channel, int& row, int& column) const {
    const int lanes = channels / Size;
    const int bin = ChannelsLast ? element / lanes : element % (rows * columns);
    channel = (ChannelsLast ? element % lanes : element / (rows * columns)) * Size;
    row = bin / columns;
    column = bin % columns;
  }

  template <typename T>
  ROI_INLINE PoolAxis<T> pool_rows(const T* roi) const {
    return {roi[2], roi[4], static_cast<T>(bins.spatial_scale), bins.height, height};
  }
  template <typename T>
  ROI_INLINE PoolAxis<T> pool_columns(const T* roi) const {
    return {roi[1], roi[3], static_cast<T>(bins.spatial_scale), bins.width, width};
  }
  template <typename T>
  ROI_INLINE AlignAxis<T> align_rows(const T* roi) const {
    return {roi[2], roi[4], static_cast<T>(bins.spatial_scale), bins.height,
            bins.sampling_ratio, bins.aligned, height};
  }
  template <typename T>
  ROI_INLINE AlignAxis<T> align_columns(const T* roi) const {
    return {roi[1], roi[3], static_cast<T>(bins.spatial_scale), bins.width,
            bins.sampling_ratio, bins.aligned, width};
  }
};

#define ROI_FOR_EACH_ELEMENT(element, elements)                          \
  for (int element = blockIdx.y * blockDim.x + threadIdx.x; element < (elements); \
       element += gridDim.y * blockDim.x)

// ---- Forward ----------------------------------------------------------------------------------

template <typename T, typename Index, bool ChannelsLast, int Size, bool WithArgmax>
__global__ void pool_kernel(
    View<T> features, const Wide<T>* rois, Grid grid, View<T> output, View<Index> argmax) {
  const int64_t k = blockIdx.x;
  const Wide<T>* roi = rois + 5 * k;
  const bool valid = is_valid(roi, grid.images);
  ROI_FOR_EACH_ELEMENT(element, (grid.elements<ChannelsLast, Size>())) {
    int channel, row, column;
    grid.locate<ChannelsLast, Size>(element, channel, row, column);
    Vector<T, Size> pooled;
    Vector<Index, Size> where;
    if (valid) {
      const Cells rows = grid.pool_rows(roi).cells(row * grid.bins.step);
      const Cells columns = grid.pool_columns(roi).cells(column * grid.bins.step);
      const bool empty = rows.end <= rows.begin || columns.end <= columns.begin;
      Wide<T> best[Size];
      int cell[Size];
      for (int lane = 0; lane < Size; ++lane) {
        best[lane] = empty ? Wide<T>(0) : Lowest<T>::value;
        cell[lane] = -1;
      }
      const int64_t image = static_cast<int64_t>(roi[0]);
      for (int y = rows.begin; y < rows.end; ++y) {
        for (int x = columns.begin; x < columns.end; ++x) {
          const auto values =
              *reinterpret_cast<const Vector<T, Size>*>(features.at(image, channel, y, x));
          for (int lane = 0; lane < Size; ++lane) {
            const Wide<T> value = static_cast<Wide<T>>(values.lane[lane]);
            // Strictly greater, so that the first of equal cells stays and NaN never wins.
            if (value > best[lane]) {
              best[lane] = value;
              cell[lane] = y * grid.width + x;
            }
          }
        }
      }
      for (int lane = 0; lane < Size; ++lane) {
        pooled.lane[lane] = static_cast<T>(best[lane]);
        where.lane[lane] = static_cast<Index>(cell[lane]);
      }
    } else {
      for (int lane = 0; lane < Size; ++lane) {
        pooled.lane[lane] = static_cast<T>(NAN);
        where.lane[lane] = static_cast<Index>(-1);
      }
    }
    *reinterpret_cast<Vector<T, Size>*>(output.at(k, channel, row, column)) = pooled;
    if (WithArgmax) {
      *reinterpret_cast<Vector<Index, Size>*>(argmax.at(k, channel, row, column)) = where;
    }
  }
}

template <typename T, bool ChannelsLast, int Size>
__global__ void align_kernel(
    View<T> features, const Wide<T>* rois, Grid grid, View<T> output) {
  typedef Wide<T> W;
  const int64_t k = blockIdx.x;
  const W* roi = rois + 5 * k;
  const bool valid = is_valid(roi, grid.images);
  ROI_FOR_EACH_ELEMENT(element, (grid.elements<ChannelsLast, Size>())) {
    int channel, row, column;
    grid.locate<ChannelsLast, Size>(element, channel, row, column);
    W sum[Size];
    for (int lane = 0; lane < Size; ++lane) sum[lane] = valid ? W(0) : static_cast<W>(NAN);
    W count = W(1);
    if (valid) {
      const AlignAxis<W> rows = grid.align_rows(roi), columns = grid.align_columns(roi);
      count = samples_per_bin(rows, columns);
      const int64_t image = static_cast<int64_t>(roi[0]);
      const int i = row * grid.bins.step, j = column * grid.bins.step;
      const Cells vertical = rows.samples_on_map(i), horizontal = columns.samples_on_map(j);
      for (int s = vertical.begin; s < vertical.end; ++s) {
        Sample<W> y;
        if (!rows.sample(rows.position(i, s), y)) continue;
        for (int t = horizontal.begin; t < horizontal.end; ++t) {
          Sample<W> x;
          if (!columns.sample(columns.position(j, t), x)) continue;
          typedef const Vector<T, Size>* Pointer;
          const auto a = *reinterpret_cast<Pointer>(features.at(image, channel, y.low, x.low));
          const auto b = *reinterpret_cast<Pointer>(features.at(image, channel, y.low, x.high));
          const auto c = *reinterpret_cast<Pointer>(features.at(image, channel, y.high, x.low));
          const auto d = *reinterpret_cast<Pointer>(features.at(image, channel, y.high, x.high));
          for (int lane = 0; lane < Size; ++lane) {
            sum[lane] += y.low_weight * x.low_weight * static_cast<W>(a.lane[lane]) +
                y.low_weight * x.high_weight * static_cast<W>(b.lane[lane]) +
                y.high_weight * x.low_weight * static_cast<W>(c.lane[lane]) +
                y.high_weight * x.high_weight * static_cast<W>(d.lane[lane]);
          }
        }
      }
    }
    Vector<T, Size> pooled;
    for (int lane = 0; lane < Size; ++lane) pooled.lane[lane] = static_cast<T>(sum[lane] / count);
    *reinterpret_cast<Vector<T, Size>*>(output.at(k, channel, row, column)) = pooled;
  }
}

// ---- Backward, by atomic additions ------------------------------------------------------------

// The order of the additions differs from run to run, and with it the last bits of the sums.
template <typename T, int Size>
__device__ __forceinline__ void add_atomically(T* to, const T (&values)[Size]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  if constexpr (std::is_same_v<T, float> && Size == 4) {
    atomicAdd(
        reinterpret_cast<float4*>(to),
        make_float4(values[0], values[1], values[2], values[3]));
  } else
#endif
  {
    for (int lane = 0; lane < Size; ++lane) atomicAdd(to + lane, values[lane]);
  }
}

template <typename T, typename Index, bool ChannelsLast>
__global__ void unpool_kernel(
    View<T> grad, View<Index> argmax, const Wide<T>* rois, Grid grid, View<Wide<T>> sums) {
  const int64_t k = blockIdx.x;
  const Wide<T>* roi = rois + 5 * k;
  if (!is_valid(roi, grid.images)) return;
  const int64_t image = static_cast<int64_t>(roi[0]);
  ROI_FOR_EACH_ELEMENT(element, (grid.elements<ChannelsLast, 1>())) {
    int channel, row, column;
    grid.locate<ChannelsLast, 1>(element, channel, row, column);
    const uint32_t cell = static_cast<uint32_t>(*argmax.at(k, channel, row, column));
    if (cell >= static_cast<uint32_t>(grid.height * grid.width)) continue;  // no cell won
    atomicAdd(
        sums.at(image, channel, cell / grid.width, cell % grid.width),
        static_cast<Wide<T>>(*grad.at(k, channel, row, column)));
  }
}

template <typename T, bool ChannelsLast, int Size>
__global__ void unalign_kernel(
    View<T> grad, const Wide<T>* rois, Grid grid, View<Wide<T>> sums) {
  typedef Wide<T> W;
  const int64_t k = blockIdx.x;
  const W* roi = rois + 5 * k;
  if (!is_valid(roi, grid.images)) return;
  const int64_t image = static_cast<int64_t>(roi[0]);
  const AlignAxis<W> rows = grid.align_rows(roi), columns = grid.align_columns(roi);
  const W count = samples_per_bin(rows, columns);
  ROI_FOR_EACH_ELEMENT(element, (grid.elements<ChannelsLast, Size>())) {
    int channel, row, column;
    grid.locate<ChannelsLast, Size>(element, channel, row, column);
    const auto given =
        *reinterpret_cast<const Vector<T, Size>*>(grad.at(k, channel, row, column));
    const int i = row * grid.bins.step, j = column * grid.bins.step;
    const Cells vertical = touched(rows, i), horizontal = touched(columns, j);
    for (int y = vertical.begin; y < vertical.end; ++y) {
      const W row_weight = weight(rows, i, y) / count;
      for (int x = horizontal.begin; x < horizontal.end; ++x) {
        const W cell_weight = row_weight * weight(columns, j, x);
        W values[Size];
        for (int lane = 0; lane < Size; ++lane) {
          values[lane] = cell_weight * static_cast<W>(given.lane[lane]);
        }
        add_atomically<W, Size>(sums.at(image, channel, y, x), values);
      }
    }
  }
}

// ---- Backward, deterministic ------------------------------------------------------------------

// A thread owns one cell of one channel and goes through the RoIs in their order.
template <typename T, typename Index>
__global__ void gather_unpool_kernel(
    View<T> grad, View<Index> argmax, const Wide<T>* rois, int64_t num_rois, Grid grid,
    View<T> output) {
  typedef Wide<T> W;
  const int64_t cells = static_cast<int64_t>(grid.height) * grid.width;
  const int64_t image = blockIdx.x / cells;
  const int cell = static_cast<int>(blockIdx.x % cells);
  const int y = cell / grid.width, x = cell % grid.width;
  ROI_FOR_EACH_ELEMENT(channel, grid.channels) {
    W sum = W(0);
    for (int64_t k = 0; k < num_rois; ++k) {
      const W* roi = rois + 5 * k;
      if (!is_valid(roi, grid.images) || static_cast<int64_t>(roi[0]) != image) continue;
      const PoolAxis<W> rows = grid.pool_rows(roi), columns = grid.pool_columns(roi);
      for (int i = 0; i < grid.rows; ++i) {
        const Cells vertical = rows.cells(i * grid.bins.step);
        if (y < vertical.begin || y >= vertical.end) continue;
        for (int j = 0; j < grid.columns; ++j) {
          const Cells horizontal = columns.cells(j * grid.bins.step);
          if (x < horizontal.begin || x >= horizontal.end) continue;
          if (*argmax.at(k, channel, i, j) == static_cast<Index>(cell)) {
            sum += static_cast<W>(*grad.at(k, channel, i, j));
          }
        }
      }
    }
    *output.at(image, channel, y, x) = static_cast<T>(sum);
  }
}

template <typename T>
__global__ void gather_unalign_kernel(
    View<T> grad, const Wide<T>* rois, int64_t num_rois, Grid grid, View<T> output) {
  typedef Wide<T> W;
  const int64_t cells = static_cast<int64_t>(grid.height) * grid.width;
  const int64_t image = blockIdx.x / cells;
  const int cell = static_cast<int>(blockIdx.x % cells);
  const int y = cell / grid.width, x = cell % grid.width;
  ROI_FOR_EACH_ELEMENT(channel, grid.channels) {
    W sum = W(0);
    for (int64_t k = 0; k < num_rois; ++k) {
      const W* roi = rois + 5 * k;
      if (!is_valid(roi, grid.images) || static_cast<int64_t>(roi[0]) != image) continue;
      const AlignAxis<W> rows = grid.align_rows(roi), columns = grid.align_columns(roi);
      const W count = samples_per_bin(rows, columns);
      for (int i = 0; i < grid.rows; ++i) {
        const W row_weight = weight(rows, i * grid.bins.step, y) / count;
        if (row_weight == W(0)) continue;
        for (int j = 0; j < grid.columns; ++j) {
          const W cell_weight = row_weight * weight(columns, j * grid.bins.step, x);
          if (cell_weight != W(0)) {
            sum += cell_weight * static_cast<W>(*grad.at(k, channel, i, j));
          }
        }
      }
    }
    *output.at(image, channel, y, x) = static_cast<T>(sum);
  }
}

// ---- Launching --------------------------------------------------------------------------------

#ifndef ROI_ON_CPU
struct Device {
  torch::stable::accelerator::DeviceGuard guard;
  cudaStream_t stream;

  explicit Device(const Tensor& tensor) : guard(tensor.get_device_index()) {
    void* current = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(
        aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &current));
    stream = static_cast<cudaStream_t>(current);
  }
};
#endif

void check_launch() {
  const cudaError_t error = cudaGetLastError();
  STD_TORCH_CHECK(error == cudaSuccess, "RoI kernel: ", cudaGetErrorString(error));
}

// ``first`` blocks next to each other times as many as ``elements`` need.
dim3 blocks(int64_t first, int64_t elements) {
  STD_TORCH_CHECK(
      first <= std::numeric_limits<int>::max() && elements <= std::numeric_limits<int>::max(),
      "a RoI operator's grid of ", first, " x ", elements, " exceeds 32 bits: pool in parts");
  const int64_t second = (elements + kThreads - 1) / kThreads;
  return dim3(
      static_cast<unsigned>(first), static_cast<unsigned>(std::min<int64_t>(second, 65535)));
}

Grid grid_of(const Tensor& pooled, int64_t images, int64_t height, int64_t width,
             const Bins& bins) {
  return {static_cast<int>(pooled.size(1)), static_cast<int>(bins.rows()),
          static_cast<int>(bins.columns()), static_cast<int>(height), static_cast<int>(width),
          images, bins};
}

// Whether Size neighbouring channels can be read as one aligned vector everywhere.
bool is_aligned(const Tensor& tensor, int64_t size) {
  const auto address = reinterpret_cast<uintptr_t>(tensor.const_data_ptr());
  bool aligned = tensor.stride(1) == 1 && tensor.size(1) % size == 0 &&
      address % (size * tensor.element_size()) == 0;
  for (int dim : {0, 2, 3}) {
    aligned = aligned && (tensor.size(dim) == 1 || tensor.stride(dim) % size == 0);
  }
  return aligned;
}

template <typename T, typename Index, bool WithArgmax>
void launch_pool(const Tensor& features, const Tensor& rois, const Bins& bins, Tensor& output,
                 Tensor* argmax) {
  constexpr int size = 16 / sizeof(T);
  const Device device(features);
  const Grid grid = grid_of(output, features.size(0), features.size(2), features.size(3), bins);
  const auto* roi = static_cast<const Wide<T>*>(rois.const_data_ptr());
  const int64_t elements = output.numel() / output.size(0);
  const View<Index> where = argmax ? view<Index>(*argmax) : View<Index>{};
  if (is_channels_last(features) && is_aligned(features, size)) {
    ROI_LAUNCH((pool_kernel<T, Index, true, size, WithArgmax>),
               blocks(rois.size(0), elements / size), kThreads, device.stream,
               view<T>(features), roi, grid, view<T>(output), where);
  } else if (is_channels_last(features)) {
    ROI_LAUNCH((pool_kernel<T, Index, true, 1, WithArgmax>), blocks(rois.size(0), elements),
               kThreads, device.stream, view<T>(features), roi, grid, view<T>(output), where);
  } else {
    ROI_LAUNCH((pool_kernel<T, Index, false, 1, WithArgmax>), blocks(rois.size(0), elements),
               kThreads, device.stream, view<T>(features), roi, grid, view<T>(output), where);
  }
  check_launch();
}

// What atomic additions go to: the gradient itself, or float32 sums of a 16-bit one.
Tensor new_sums(const Tensor& output) {
  const bool narrow = output.element_size() == 2;
  Tensor sums = narrow ? torch::stable::to(output, ScalarType::Float) : output;
  return torch::stable::zero_(sums);
}

}  // namespace
}  // namespace detection

#include "nms_kernels.h"

namespace detection {
namespace {

struct CudaKernels {
  static constexpr int64_t most_boxes = kMostBoxes;

  template <typename T>
  static void survivors(const Tensor& boxes, const Tensor& usable, T threshold, int limit,
                        Tensor& kept, Tensor& found) {
    launch_nms<T>(boxes, usable, threshold, limit, kept, found);
  }

  template <typename T, typename Index>
  static void pool(const Tensor& features, const Tensor& rois, const Bins& bins, Tensor& output,
                   Tensor* argmax) {
    argmax ? launch_pool<T, Index, true>(features, rois, bins, output, argmax)
           : launch_pool<T, Index, false>(features, rois, bins, output, nullptr);
  }

  template <typename T>
  static void align(const Tensor& features, const Tensor& rois, const Bins& bins, Tensor& output) {
    constexpr int size = 16 / sizeof(T);
    const Device device(features);
    const Grid grid = grid_of(output, features.size(0), features.size(2), features.size(3), bins);
    const auto* roi = static_cast<const Wide<T>*>(rois.const_data_ptr());
    const int64_t elements = output.numel() / output.size(0);
    if (is_channels_last(features) && is_aligned(features, size)) {
      ROI_LAUNCH((align_kernel<T, true, size>), blocks(rois.size(0), elements / size), kThreads,
                 device.stream, view<T>(features), roi, grid, view<T>(output));
    } else if (is_channels_last(features)) {
      ROI_LAUNCH((align_kernel<T, true, 1>), blocks(rois.size(0), elements), kThreads,
                 device.stream, view<T>(features), roi, grid, view<T>(output));
    } else {
      ROI_LAUNCH((align_kernel<T, false, 1>), blocks(rois.size(0), elements), kThreads,
                 device.stream, view<T>(features), roi, grid, view<T>(output));
    }
    check_launch();
  }

  template <typename T, typename Index>
  static void unpool(const Tensor& grad, const Tensor& argmax, const Tensor& rois, const Bins& bins,
                     bool deterministic, Tensor& output) {
    const Device device(grad);
    const Grid grid = grid_of(grad, output.size(0), output.size(2), output.size(3), bins);
    const auto* roi = static_cast<const Wide<T>*>(rois.const_data_ptr());
    const int64_t elements = grad.numel() / grad.size(0);
    if (deterministic) {
      ROI_LAUNCH((gather_unpool_kernel<T, Index>),
                 blocks(output.size(0) * output.size(2) * output.size(3), output.size(1)),
                 kThreads, device.stream, view<T>(grad), view<Index>(argmax), roi, grad.size(0),
                 grid, view<T>(output));
      return check_launch();
    }
    Tensor sums = new_sums(output);
    if (is_channels_last(argmax)) {
      ROI_LAUNCH((unpool_kernel<T, Index, true>), blocks(grad.size(0), elements), kThreads,
                 device.stream, view<T>(grad), view<Index>(argmax), roi, grid,
                 view<Wide<T>>(sums));
    } else {
      ROI_LAUNCH((unpool_kernel<T, Index, false>), blocks(grad.size(0), elements), kThreads,
                 device.stream, view<T>(grad), view<Index>(argmax), roi, grid,
                 view<Wide<T>>(sums));
    }
    check_launch();
    if (sums.scalar_type() != output.scalar_type()) {
      output = torch::stable::to(sums, output.scalar_type());
    }
  }

  template <typename T>
  static void unalign(const Tensor& grad, const Tensor& rois, const Bins& bins, bool deterministic,
                      Tensor& output) {
    constexpr int size = std::is_same_v<T, double> ? 2 : 4;
    const Device device(grad);
    const Grid grid = grid_of(grad, output.size(0), output.size(2), output.size(3), bins);
    const auto* roi = static_cast<const Wide<T>*>(rois.const_data_ptr());
    const int64_t elements = grad.numel() / grad.size(0);
    if (deterministic) {
      ROI_LAUNCH((gather_unalign_kernel<T>),
                 blocks(output.size(0) * output.size(2) * output.size(3), output.size(1)),
                 kThreads, device.stream, view<T>(grad), roi, grad.size(0), grid, view<T>(output));
      return check_launch();
    }
    Tensor sums = new_sums(output);
    if (is_channels_last(output) && is_aligned(grad, size) && is_aligned(sums, size)) {
      ROI_LAUNCH((unalign_kernel<T, true, size>), blocks(grad.size(0), elements / size), kThreads,
                 device.stream, view<T>(grad), roi, grid, view<Wide<T>>(sums));
    } else if (is_channels_last(output)) {
      ROI_LAUNCH((unalign_kernel<T, true, 1>), blocks(grad.size(0), elements), kThreads,
                 device.stream, view<T>(grad), roi, grid, view<Wide<T>>(sums));
    } else {
      ROI_LAUNCH((unalign_kernel<T, false, 1>), blocks(grad.size(0), elements), kThreads,
                 device.stream, view<T>(grad), roi, grid, view<Wide<T>>(sums));
    }
    check_launch();
    if (sums.scalar_type() != output.scalar_type()) {
      output = torch::stable::to(sums, output.scalar_type());
    }
  }
};

}  // namespace
}  // namespace detection

STABLE_TORCH_LIBRARY_IMPL(ROI_LIBRARY, ROI_DEVICE, library) {
  detection::Operators<detection::CudaKernels>::implement(library);
}

// What this file was built by and for; read by `python -m detection.ops`.
extern "C" __attribute__((visibility("default"))) const char* detection_ops_build() {
  return ROI_BUILD;
}
