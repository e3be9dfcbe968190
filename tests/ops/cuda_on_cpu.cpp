#include "cuda_on_cpu.h"

#include "roi_pool.cu"

STABLE_TORCH_LIBRARY(roi_cuda_on_cpu, library) { detection::define_operators(library); }
