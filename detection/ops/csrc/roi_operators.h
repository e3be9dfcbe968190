// What the operators of every device agree on: arguments, the tensors they return, and which kernel
// serves which types of numbers.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/MemoryFormat.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <tuple>
#include <type_traits>

namespace detection {

// The grid of bins of every RoI.  height x width bins divide it, of which every step-th row and
// column, from the first on, is computed.
struct Bins {
  int height, width, step;
  double spatial_scale;  // cells per unit of the RoIs' coordinates
  int sampling_ratio = 0;  // RoIAlign: points per bin and axis; 0 or less: one per cell
  bool aligned = false;    // RoIAlign: coordinates point at cell centres

  int64_t rows() const { return (height + step - 1) / step; }
  int64_t columns() const { return (width + step - 1) / step; }
  int64_t count() const { return rows() * columns(); }
};

inline int checked_int(int64_t value, const char* name) {
  STD_TORCH_CHECK(
      value >= std::numeric_limits<int>::min() && value <= std::numeric_limits<int>::max(),
      name, " = ", value, " does not fit in 32 bits");
  return static_cast<int>(value);
}

inline int checked_positive(int64_t value, const char* name) {
  STD_TORCH_CHECK(value > 0, name, " must be positive, is ", value);
  return checked_int(value, name);
}

// The Python functions check with more words; here is what memory safety needs.
inline Bins checked_backward(
    const torch::stable::Tensor& grad, const torch::stable::Tensor& rois, int64_t height,
    int64_t width, double spatial_scale, int64_t bin_step) {
  const Bins bins{
      checked_positive(height, "output height"), checked_positive(width, "output width"),
      checked_positive(bin_step, "bin_step"), spatial_scale};
  STD_TORCH_CHECK(
      rois.dim() == 2 && rois.size(1) == 5, "rois must be [K, 5]: image, x1, y1, x2, y2");
  STD_TORCH_CHECK(
      grad.dim() == 4 && grad.size(0) == rois.size(0) && grad.size(2) == bins.rows() &&
          grad.size(3) == bins.columns(),
      "the gradient must be [K, C, rows, columns] of the pooled features");
  STD_TORCH_CHECK(
      grad.device() == rois.device(), "the gradient and the RoIs must be on the same device");
  return bins;
}

inline Bins checked_bins(
    const torch::stable::Tensor& features, const torch::stable::Tensor& rois, int64_t height,
    int64_t width, double spatial_scale, int64_t bin_step) {
  STD_TORCH_CHECK(features.dim() == 4, "features must be [N, C, H, W]");
  STD_TORCH_CHECK(
      rois.dim() == 2 && rois.size(1) == 5, "rois must be [K, 5]: image, x1, y1, x2, y2");
  STD_TORCH_CHECK(
      features.device() == rois.device(), "features and rois must be on the same device");
  STD_TORCH_CHECK(
      features.size(2) < (int64_t(1) << 28) && features.size(3) < (int64_t(1) << 28) &&
          features.size(2) * features.size(3) <= std::numeric_limits<int32_t>::max() &&
          features.size(1) <= std::numeric_limits<int32_t>::max(),
      "the map has more cells or channels than 32 bits count");
  return {
      checked_positive(height, "output height"), checked_positive(width, "output width"),
      checked_positive(bin_step, "bin_step"), spatial_scale};
}

// The layout of the features is the layout of what is pooled from them.
inline bool is_channels_last(const torch::stable::Tensor& features) {
  return features.size(1) > 1 && features.stride(1) == 1;
}

inline torch::stable::Tensor new_map(
    const torch::stable::Tensor& like, int64_t n, int64_t c, int64_t h, int64_t w,
    bool channels_last) {
  using torch::headeronly::MemoryFormat;
  return torch::stable::empty(
      {n, c, h, w}, like.scalar_type(), std::nullopt, like.device(), std::nullopt,
      channels_last && c > 1 ? MemoryFormat::ChannelsLast : MemoryFormat::Contiguous);
}

inline torch::stable::Tensor new_pooled(
    const torch::stable::Tensor& features, int64_t num_rois, const Bins& bins) {
  return new_map(
      features, num_rois, features.size(1), bins.rows(), bins.columns(),
      is_channels_last(features));
}

inline torch::stable::Tensor new_grad(
    const torch::stable::Tensor& grad, int64_t images, int64_t height, int64_t width,
    bool channels_last) {
  return new_map(grad, images, grad.size(1), height, width, channels_last);
}

// The smallest type that numbers the cells of a map and has all ones left for "no cell".  int16 is
// used as if unsigned, since few operators of torch know uint16.
inline torch::headeronly::ScalarType argmax_type(int64_t height, int64_t width) {
  using torch::headeronly::ScalarType;
  const int64_t cells = height * width;
  return cells <= 0xff ? ScalarType::Byte : cells <= 0xffff ? ScalarType::Short : ScalarType::Int;
}

// [K, C, rows, columns] like the pooled features.  On the CPU channels are neighbours whatever the
// layout of the features: that is how it is computed and read.
inline torch::stable::Tensor new_argmax(
    const torch::stable::Tensor& features, int64_t num_rois, const Bins& bins) {
  using torch::headeronly::MemoryFormat;
  const bool dense = features.size(1) > 1 && (features.is_cpu() || is_channels_last(features));
  return torch::stable::empty(
      {num_rois, features.size(1), bins.rows(), bins.columns()},
      argmax_type(features.size(2), features.size(3)), std::nullopt, features.device(),
      std::nullopt, dense ? MemoryFormat::ChannelsLast : MemoryFormat::Contiguous);
}

inline void check_argmax(
    const torch::stable::Tensor& grad, const torch::stable::Tensor& argmax, int64_t map_height,
    int64_t map_width) {
  STD_TORCH_CHECK(
      argmax.dim() == 4 && argmax.size(0) == grad.size(0) && argmax.size(1) == grad.size(1) &&
          argmax.size(2) == grad.size(2) && argmax.size(3) == grad.size(3) &&
          argmax.scalar_type() == argmax_type(map_height, map_width),
      "argmax is not the one of this gradient and map");
}

// ---- Types ------------------------------------------------------------------------------------

// Coordinates, weights and sums: float64 for float64 maps, float32 for all others.
template <typename T>
using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;

// Calls call(T()), T being the type of the tensor's numbers.
template <typename Call>
void with_type(const torch::stable::Tensor& tensor, const Call& call) {
  using torch::headeronly::ScalarType;
  switch (tensor.scalar_type()) {
    case ScalarType::Float: return call(float());
    case ScalarType::Double: return call(double());
    case ScalarType::Half: return call(torch::headeronly::Half());
    case ScalarType::BFloat16: return call(torch::headeronly::BFloat16());
    default:
      STD_TORCH_CHECK(
          false, "RoI operators take float32, float64, float16 and bfloat16, not ",
          torch::headeronly::toString(tensor.scalar_type()));
  }
}

// The same with the types of a tensor and of the argmax that belongs to it.
template <typename Call>
void with_types(
    const torch::stable::Tensor& tensor, const torch::stable::Tensor& argmax, const Call& call) {
  using torch::headeronly::ScalarType;
  with_type(tensor, [&](auto number) {
    switch (argmax.scalar_type()) {
      case ScalarType::Byte: return call(number, uint8_t());
      case ScalarType::Short: return call(number, uint16_t());
      default: return call(number, int32_t());
    }
  });
}

// [K, 5] in the type that coordinates are computed in.
inline torch::stable::Tensor coordinates(
    const torch::stable::Tensor& rois, const torch::stable::Tensor& numbers) {
  using torch::headeronly::ScalarType;
  const ScalarType type =
      numbers.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
  return torch::stable::contiguous(
      rois.scalar_type() == type ? rois : torch::stable::to(rois, type));
}

// ---- The operators ----------------------------------------------------------------------------

// An op per task: pooling for inference, pooling that remembers which cell won,
// and what is made of that on the way back.  Sizes are SymInt so that torch.compile may leave
// them open.
inline void define_operators(torch::stable::detail::StableLibrary& library) {
  library.def(
      "roi_pool(Tensor features, Tensor rois, SymInt height, SymInt width, float spatial_scale, "
      "SymInt bin_step) -> Tensor");
  library.def(
      "roi_pool_argmax(Tensor features, Tensor rois, SymInt height, SymInt width, "
      "float spatial_scale, SymInt bin_step) -> (Tensor, Tensor)");
  library.def(
      "roi_pool_backward(Tensor grad, Tensor argmax, Tensor rois, SymInt images, "
      "SymInt map_height, SymInt map_width, SymInt height, SymInt width, float spatial_scale, "
      "SymInt bin_step, bool channels_last, bool deterministic) -> Tensor");
  library.def(
      "roi_align(Tensor features, Tensor rois, SymInt height, SymInt width, float spatial_scale, "
      "SymInt sampling_ratio, bool aligned, SymInt bin_step) -> Tensor");
  library.def(
      "roi_align_backward(Tensor grad, Tensor rois, SymInt images, SymInt map_height, "
      "SymInt map_width, SymInt height, SymInt width, float spatial_scale, SymInt sampling_ratio, "
      "bool aligned, SymInt bin_step, bool channels_last, bool deterministic) -> Tensor");
  // NMS of [N, B, 4], best first, among what is usable: the numbers of the first survivors [N, limit],
  // ascending, then zeros, and how many there are [N].
  library.def(
      "first_survivors(Tensor boxes, Tensor usable, float iou_threshold, SymInt limit) "
      "-> (Tensor, Tensor)");
}

// The largest T that is not above the threshold: a T is above the one if it is above the other.
template <typename T>
T threshold_in(double threshold) {
  const T nearest = static_cast<T>(threshold);
  return static_cast<double>(nearest) > threshold
      ? std::nextafter(nearest, -std::numeric_limits<T>::infinity())
      : nearest;
}

// The operators on one device, whose kernels are, for numbers T and an argmax of type Index,
//
//   Kernels::pool<T, Index>(features, boxes, bins, output, argmax or nullptr)
//   Kernels::unpool<T, Index>(grad, argmax, boxes, bins, deterministic, output)
//   Kernels::align<T>(features, boxes, bins, output)
//   Kernels::unalign<T>(grad, boxes, bins, deterministic, output)
//   Kernels::survivors<T>(boxes, usable, threshold, limit, kept, found), of most_boxes an image
//
// ``boxes`` are coordinates() of the RoIs; there is at least one RoI and one channel.
template <typename Kernels>
struct Operators {
  typedef torch::stable::Tensor Tensor;

  static Tensor roi_pool(const Tensor& features, const Tensor& rois, int64_t height,
                         int64_t width, double spatial_scale, int64_t bin_step) {
    const Bins bins = checked_bins(features, rois, height, width, spatial_scale, bin_step);
    Tensor output = new_pooled(features, rois.size(0), bins);
    if (output.numel() == 0) return output;
    with_type(features, [&](auto number) {
      Kernels::template pool<decltype(number), uint8_t>(
          features, coordinates(rois, features), bins, output, nullptr);
    });
    return output;
  }

  static std::tuple<Tensor, Tensor> roi_pool_argmax(
      const Tensor& features, const Tensor& rois, int64_t height, int64_t width,
      double spatial_scale, int64_t bin_step) {
    const Bins bins = checked_bins(features, rois, height, width, spatial_scale, bin_step);
    Tensor output = new_pooled(features, rois.size(0), bins);
    Tensor argmax = new_argmax(features, rois.size(0), bins);
    if (output.numel() == 0) return {output, argmax};
    with_types(features, argmax, [&](auto number, auto index) {
      Kernels::template pool<decltype(number), decltype(index)>(
          features, coordinates(rois, features), bins, output, &argmax);
    });
    return {output, argmax};
  }

  static Tensor roi_pool_backward(
      const Tensor& grad, const Tensor& argmax, const Tensor& rois, int64_t images,
      int64_t map_height, int64_t map_width, int64_t height, int64_t width,
      double spatial_scale, int64_t bin_step, bool channels_last, bool deterministic) {
    const Bins bins = checked_backward(grad, rois, height, width, spatial_scale, bin_step);
    check_argmax(grad, argmax, map_height, map_width);
    Tensor output = new_grad(grad, images, map_height, map_width, channels_last);
    if (output.numel() == 0) return output;
    if (grad.numel() == 0) return torch::stable::zero_(output);
    with_types(grad, argmax, [&](auto number, auto index) {
      Kernels::template unpool<decltype(number), decltype(index)>(
          grad, argmax, coordinates(rois, grad), bins, deterministic, output);
    });
    return output;
  }

  static Tensor roi_align(const Tensor& features, const Tensor& rois, int64_t height,
                          int64_t width, double spatial_scale, int64_t sampling_ratio,
                          bool aligned, int64_t bin_step) {
    Bins bins = checked_bins(features, rois, height, width, spatial_scale, bin_step);
    bins.sampling_ratio = checked_int(sampling_ratio, "sampling_ratio");
    bins.aligned = aligned;
    Tensor output = new_pooled(features, rois.size(0), bins);
    if (output.numel() == 0) return output;
    with_type(features, [&](auto number) {
      Kernels::template align<decltype(number)>(
          features, coordinates(rois, features), bins, output);
    });
    return output;
  }

  static Tensor roi_align_backward(
      const Tensor& grad, const Tensor& rois, int64_t images, int64_t map_height,
      int64_t map_width, int64_t height, int64_t width, double spatial_scale,
      int64_t sampling_ratio, bool aligned, int64_t bin_step, bool channels_last,
      bool deterministic) {
    Bins bins = checked_backward(grad, rois, height, width, spatial_scale, bin_step);
    bins.sampling_ratio = checked_int(sampling_ratio, "sampling_ratio");
    bins.aligned = aligned;
    Tensor output = new_grad(grad, images, map_height, map_width, channels_last);
    if (output.numel() == 0) return output;
    if (grad.numel() == 0) return torch::stable::zero_(output);
    with_type(grad, [&](auto number) {
      Kernels::template unalign<decltype(number)>(
          grad, coordinates(rois, grad), bins, deterministic, output);
    });
    return output;
  }

  static std::tuple<Tensor, Tensor> first_survivors(
      const Tensor& boxes, const Tensor& usable, double iou_threshold, int64_t limit) {
    using torch::headeronly::ScalarType;
    STD_TORCH_CHECK(
        boxes.dim() == 3 && boxes.size(2) == 4 && boxes.size(1) <= Kernels::most_boxes,
        "boxes must be [N, B, 4], with at most ", Kernels::most_boxes, " boxes");
    STD_TORCH_CHECK(
        usable.dim() == 2 && usable.size(0) == boxes.size(0) && usable.size(1) == boxes.size(1) &&
            usable.scalar_type() == ScalarType::Bool && usable.device() == boxes.device(),
        "usable must be bool [N, B], on the device of the boxes");
    const bool wide = boxes.scalar_type() == ScalarType::Double;
    STD_TORCH_CHECK(
        wide || boxes.scalar_type() == ScalarType::Float, "boxes must be float32 or float64");
    const int wanted = checked_positive(limit, "limit");
    const auto whole_numbers = [&](std::initializer_list<int64_t> sizes) {
      return torch::stable::empty(sizes, ScalarType::Long, std::nullopt, boxes.device());
    };
    Tensor kept = whole_numbers({boxes.size(0), limit}), found = whole_numbers({boxes.size(0)});
    if (boxes.numel() == 0) return {torch::stable::zero_(kept), torch::stable::zero_(found)};
    const Tensor values = torch::stable::contiguous(boxes);
    const Tensor flags = torch::stable::contiguous(usable);
    if (wide) {
      Kernels::template survivors<double>(values, flags, iou_threshold, wanted, kept, found);
    } else {
      Kernels::template survivors<float>(
          values, flags, threshold_in<float>(iou_threshold), wanted, kept, found);
    }
    return {kept, found};
  }

  static void implement(torch::stable::detail::StableLibrary& library) {
    library.impl("roi_pool", TORCH_BOX(&Operators::roi_pool));
    library.impl("roi_pool_argmax", TORCH_BOX(&Operators::roi_pool_argmax));
    library.impl("roi_pool_backward", TORCH_BOX(&Operators::roi_pool_backward));
    library.impl("roi_align", TORCH_BOX(&Operators::roi_align));
    library.impl("roi_align_backward", TORCH_BOX(&Operators::roi_align_backward));
    library.impl("first_survivors", TORCH_BOX(&Operators::first_survivors));
  }
};

}  // namespace detection
