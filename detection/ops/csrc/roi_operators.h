// What the operators of every device agree on: arguments, and the tensors they return.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/MemoryFormat.h>
#include <torch/headeronly/core/ScalarType.h>

#include <cstdint>
#include <limits>

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

[[noreturn]] inline void refuse_type(const torch::stable::Tensor& tensor) {
  STD_TORCH_CHECK(
      false, "RoI operators take float32, float64, float16 and bfloat16, not ",
      torch::headeronly::toString(tensor.scalar_type()));
  throw;  // not reached
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

// The operators.  An op per task: pooling for inference, pooling that remembers which cell won,
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
}

}  // namespace detection
