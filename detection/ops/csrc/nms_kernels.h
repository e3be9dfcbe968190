// Greedy non-maximum suppression on CUDA devices, of a whole mini-batch, up to the wanted number of
// survivors.  Part of roi_pool.cu, with its launching and its flags: -fmad=false makes an IoU that of
// the CPU to the last bit.
//
// N images of B boxes, best first.  overlap_kernel compares all pairs: bit j of word w in row i says
// whether box i, if it survives, suppresses box 64 w + j.  survivors_kernel then goes through the
// words in their order, a block for each image.  One thread decides about the 64 boxes of a word,
// which takes no memory but the word's own 64 rows; all threads mark what those survivors suppress
// later.  It ends at the last survivor that is wanted, and the host waits for nothing.
#pragma once

#include <cstdint>

namespace detection {
namespace {

constexpr int kBits = 64;             // of a word
constexpr int kMostWords = 512;       // what a block remembers: 4 KiB
constexpr int kMostBoxes = kBits * kMostWords;

ROI_INLINE int lowest_bit(uint64_t bits) {
#ifdef __CUDA_ARCH__
  return __ffsll(static_cast<long long>(bits)) - 1;
#else
  return __builtin_ctzll(bits);
#endif
}

template <typename T>
__global__ void overlap_kernel(
    const T* all_boxes, const bool* all_usable, int count, int words, T threshold,
    uint64_t* all_overlaps) {
  const int64_t image = blockIdx.x;
  const T* boxes = all_boxes + 4 * image * count;
  const bool* usable = all_usable + image * count;
  uint64_t* overlaps = all_overlaps + image * count * words;
  // Neighbouring threads take neighbouring rows of one word: they read the same 64 boxes.
  ROI_FOR_EACH_ELEMENT(element, count * words) {
    const int row = element % count, word = element / count;
    if (word < row / kBits || !usable[row]) continue;  // never read
    const T x1 = boxes[4 * row], y1 = boxes[4 * row + 1];
    const T x2 = boxes[4 * row + 2], y2 = boxes[4 * row + 3];
    const T area = (x2 - x1) * (y2 - y1);
    const int begin = word * kBits, end = begin + kBits < count ? begin + kBits : count;
    uint64_t bits = 0;
    for (int other = begin > row ? begin : row + 1; other < end; ++other) {
      const T* box = boxes + 4 * other;
      // In torchvision's order of operations.
      const T left = x1 > box[0] ? x1 : box[0], right = x2 < box[2] ? x2 : box[2];
      const T top = y1 > box[1] ? y1 : box[1], bottom = y2 < box[3] ? y2 : box[3];
      const T width = right - left > T(0) ? right - left : T(0);
      const T height = bottom - top > T(0) ? bottom - top : T(0);
      const T common = width * height;
      const T other_area = (box[2] - box[0]) * (box[3] - box[1]);
      if (common / (area + other_area - common) > threshold) {
        bits |= uint64_t(1) << (other - begin);
      }
    }
    overlaps[static_cast<int64_t>(row) * words + word] = bits;
  }
}

// kept: [N, limit], the survivors' numbers, ascending, then zeros.  found: [N], how many there are.
__global__ void survivors_kernel(
    const bool* all_usable, const uint64_t* all_overlaps, int count, int words, int limit,
    int64_t* all_kept, int64_t* found) {
  __shared__ unsigned long long removed[kMostWords];
  __shared__ uint64_t own[kBits];  // what the boxes of a word suppress within it
  __shared__ int rows[kBits];
  __shared__ int number;
  const int64_t image = blockIdx.x;
  const bool* usable = all_usable + image * count;
  const uint64_t* overlaps = all_overlaps + image * count * words;
  int64_t* kept = all_kept + image * limit;
  for (int word = threadIdx.x; word < words; word += blockDim.x) {
    uint64_t bits = 0;
    for (int bit = 0; bit < kBits; ++bit) {
      const int row = word * kBits + bit;
      if (row >= count || !usable[row]) bits |= uint64_t(1) << bit;
    }
    removed[word] = bits;
  }
  __syncthreads();
  int total = 0;  // the same in all threads
  for (int word = 0; word < words && total < limit; ++word) {
    for (int bit = threadIdx.x; bit < kBits; bit += blockDim.x) {
      const int64_t row = word * kBits + bit;
      own[bit] = removed[word] >> bit & 1 ? 0 : overlaps[row * words + word];
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      uint64_t left = ~removed[word];
      number = 0;
      while (left != 0 && total + number < limit) {
        const int bit = lowest_bit(left);
        rows[number++] = word * kBits + bit;
        left &= ~(own[bit] | uint64_t(1) << bit);
      }
    }
    __syncthreads();
    const int survivors = number, later = words - word - 1;
    for (int i = threadIdx.x; i < survivors; i += blockDim.x) kept[total + i] = rows[i];
    for (int pair = threadIdx.x; pair < survivors * later; pair += blockDim.x) {
      const int target = word + 1 + pair % later;
      const uint64_t bits = overlaps[static_cast<int64_t>(rows[pair / later]) * words + target];
      if (bits != 0) atomicOr(&removed[target], static_cast<unsigned long long>(bits));
    }
    total += survivors;
    __syncthreads();
  }
  for (int i = total + threadIdx.x; i < limit; i += blockDim.x) kept[i] = 0;
  if (threadIdx.x == 0) found[image] = total;
}

template <typename T>
void launch_nms(const Tensor& boxes, const Tensor& usable, T threshold, int limit, Tensor& kept,
                Tensor& found) {
  const Device device(boxes);
  const int count = static_cast<int>(boxes.size(1)), words = (count + kBits - 1) / kBits;
  Tensor overlaps = torch::stable::empty(
      {boxes.size(0), count, words}, ScalarType::Long, std::nullopt, boxes.device());
  const auto* values = static_cast<const T*>(boxes.const_data_ptr());
  const auto* flags = static_cast<const bool*>(usable.const_data_ptr());
  auto* bits = static_cast<uint64_t*>(overlaps.data_ptr());
  ROI_LAUNCH((overlap_kernel<T>), blocks(boxes.size(0), int64_t(count) * words), kThreads,
             device.stream, values, flags, count, words, threshold, bits);
  ROI_LAUNCH(survivors_kernel, dim3(static_cast<unsigned>(boxes.size(0))), ROI_BLOCK_THREADS,
             device.stream, flags, bits, count, words, limit,
             static_cast<int64_t*>(kept.data_ptr()), static_cast<int64_t*>(found.data_ptr()));
  check_launch();
}

}  // namespace
}  // namespace detection
