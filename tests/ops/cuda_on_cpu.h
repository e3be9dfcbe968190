// As much of CUDA as the RoI kernels use, in plain C++: blocks and threads become loops.
//
// With it, roi_pool.cu compiles for the CPU, so that its index arithmetic, all of its layouts and
// both of its backward passes are tested on machines without a GPU.  What it cannot show is what
// only a GPU has: races, alignment faults and speed.
#pragma once

#include <cstdint>

#define ROI_ON_CPU
#define ROI_LIBRARY roi_cuda_on_cpu
#define ROI_DEVICE CPU

#define __global__
#define __device__
#define __forceinline__ inline
// Threads run one after the other: a block that shares memory must be one thread, which waits for none.
#define __shared__ static
#define ROI_BLOCK_THREADS 1
inline void __syncthreads() {}

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

static dim3 blockIdx, threadIdx, blockDim, gridDim;

template <typename Kernel>
void for_each_thread(dim3 grid, unsigned threads, const Kernel& kernel) {
  gridDim = grid;
  blockDim = dim3(threads);
  for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x) {
    for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y) {
      for (threadIdx.x = 0; threadIdx.x < threads; ++threadIdx.x) kernel();
    }
  }
}

#define ROI_LAUNCH(kernel, grid, threads, stream, ...) \
  for_each_thread(grid, threads, [&] { kernel(__VA_ARGS__); })

template <typename T>
void atomicAdd(T* to, T value) {
  *to += value;
}

template <typename T>
void atomicOr(T* to, T bits) {
  *to |= bits;
}

typedef void* cudaStream_t;
typedef int cudaError_t;
constexpr cudaError_t cudaSuccess = 0;
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline const char* cudaGetErrorString(cudaError_t) { return ""; }

struct Device {
  cudaStream_t stream = nullptr;
  template <typename Tensor>
  explicit Device(const Tensor&) {}
};
