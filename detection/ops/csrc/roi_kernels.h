// The inner loops of the CPU operators: one RoI, one block of channels, or one box; no allocation, no threads.
//
// Included by roi_pool.cpp once per instruction set, with ROI_ISA (a namespace), ROI_TARGET (a
// function attribute) and ROI_VECTOR_BYTES defined; therefore no include guard but
// around its types.  Only built-in
// types are used: a template of the standard library compiled here for AVX2 could be the copy that
// the linker keeps for every CPU.
//
// Maps are channels-last: the channels of a cell are neighbours, so every loop over them is a loop
// over vector lanes.  GCC's and Clang's vector extension spells that for all processors alike and
// keeps the running maximum (or sum) of a block of channels in registers.

#ifndef ROI_KERNEL_TYPES
#define ROI_KERNEL_TYPES
namespace detection {

// Tags for the two 16-bit formats, which compute in float32.
struct BFloat16Bits {
  uint16_t bits;
};
struct Float16Bits {
  uint16_t bits;
};

// A map [rows, columns, channels] of which one block of channels is worked on.
template <typename T>
struct Map {
  const T* cells;
  int64_t row_stride, column_stride;  // in elements
  int columns;
};

// Bytes of survivors that a box is compared with at a time.
constexpr int kNmsStep = 64;

// One sampling point: where its four cells lie, and their weights.
template <typename T>
struct Tap {
  int64_t offset[4];
  T weight[4];
};

}  // namespace detection
#endif

namespace detection {
namespace ROI_ISA {

template <typename T>
struct Pack {
  typedef T type __attribute__((vector_size(ROI_VECTOR_BYTES)));
  static constexpr int lanes = ROI_VECTOR_BYTES / sizeof(T);
};

template <int Bytes>
struct Signed;
template <>
struct Signed<2> {
  typedef int16_t type;
};
template <>
struct Signed<4> {
  typedef int32_t type;
};
template <>
struct Signed<8> {
  typedef int64_t type;
};

// Lanes<T, true> works on a vector of channels at once, Lanes<T, false> on one channel: what is
// left over when the channels are no multiple of the vector.
template <typename T, bool Vector>
struct Lanes {
  typedef typename Pack<T>::type Value;
  typedef typename Pack<typename Signed<sizeof(T)>::type>::type Index;
  static constexpr int count = Pack<T>::lanes;
};
template <typename T>
struct Lanes<T, false> {
  typedef T Value;
  typedef typename Signed<sizeof(T)>::type Index;
  static constexpr int count = 1;
};

template <typename Value, typename T>
ROI_TARGET inline Value load(const T* from) {
  Value value;
  __builtin_memcpy(&value, from, sizeof(Value));
  return value;
}

template <typename Value, typename T>
ROI_TARGET inline void store(T* to, const Value& value) {
  __builtin_memcpy(to, &value, sizeof(Value));
}

// Stores lane indices as the (narrower) integers of the argmax.
template <typename Index, int Count, typename Lane>
ROI_TARGET inline void store_index(Index* to, const Lane& lanes) {
  if constexpr (Count == 1) {
    *to = static_cast<Index>(lanes);
  } else {
    typedef Index Narrow __attribute__((vector_size(Count * sizeof(Index))));
    store(to, __builtin_convertvector(lanes, Narrow));
  }
}

// Loads as many numbers as ``Lane`` has lanes, each widened to one.
template <typename Lane, int Count, typename Narrow>
ROI_TARGET inline Lane load_widened(const Narrow* from) {
  static_assert(sizeof(Narrow) > 2 || Narrow(-1) > Narrow(0), "narrow numbers have no sign");
  if constexpr (Count == 1) {
    return static_cast<Lane>(*from);
#if defined(__x86_64__)
    // One instruction, where GCC makes five of the general conversion.
  } else if constexpr (ROI_VECTOR_BYTES == 32 && Count == 8 && sizeof(Narrow) == 2) {
    return reinterpret_cast<Lane>(_mm256_cvtepu16_epi32(load<__m128i>(from)));
  } else if constexpr (ROI_VECTOR_BYTES == 32 && Count == 8 && sizeof(Narrow) == 1) {
    return reinterpret_cast<Lane>(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(load<int64_t>(from))));
#endif
  } else {
    typedef Narrow Packed __attribute__((vector_size(Count * sizeof(Narrow))));
    return __builtin_convertvector(load<Packed>(from), Lane);
  }
}

// ---- 16-bit numbers ---------------------------------------------------------------------------

// A 16-bit float seen as an integer that sorts like it: maxima of bfloat16 and float16 then need
// neither conversion nor a float unit.  NaN sorts below everything, as in "value > maximum".
// The function is its own inverse, but for NaN and -0 (which becomes +0).
ROI_TARGET inline void floats_to_keys(
    const uint16_t* from, int16_t* to, int64_t count, int infinity) {
  for (int64_t i = 0; i < count; ++i) {
    const int16_t bits = static_cast<int16_t>(from[i]);
    const int16_t magnitude = bits & 0x7fff;
    int16_t key = static_cast<int16_t>(bits ^ ((bits >> 15) & 0x7fff));
    key = magnitude == 0 ? int16_t(0) : key;
    to[i] = magnitude > infinity ? int16_t(-0x8000) : key;
  }
}

template <typename F, typename U>
ROI_TARGET inline F as_float(const U& bits) {
  F value;
  __builtin_memcpy(&value, &bits, sizeof(F));
  return value;
}

// Rounds float32 to the nearest 16-bit number, ties to even.  U: uint32_t or a vector of them.
template <typename F, typename U, typename I>
ROI_TARGET inline U rounded(const F& value, BFloat16Bits) {
  U bits;
  __builtin_memcpy(&bits, &value, sizeof(U));
  const U nearest = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return (bits & 0x7fffffffu) > 0x7f800000u ? nearest * 0u + 0x7fc0u : nearest;
}

template <typename F, typename U, typename I>
ROI_TARGET inline U rounded(const F& value, Float16Bits) {
  U all;
  __builtin_memcpy(&all, &value, sizeof(U));
  const U bits = all & 0x7fffffffu;
  // Adding 0.5 makes the float unit round at float16's smallest subnormal, 2^-24.
  const F shifted = as_float<F>(bits) + 0.5f;
  U subnormal;
  __builtin_memcpy(&subnormal, &shifted, sizeof(U));
  subnormal = subnormal - 0x3f000000u;
  const U normal = (bits - 0x38000000u + 0xfffu + ((bits >> 13) & 1u)) >> 13;
  const U special = bits > 0x7f800000u ? bits * 0u + 0x7e00u : bits * 0u + 0x7c00u;
  const U finite = bits < 0x38800000u ? subnormal : normal;
  return (bits >= 0x47800000u ? special : finite) | ((all >> 16) & 0x8000u);
}

template <typename F, typename U>
ROI_TARGET inline F widened(const U& bits, BFloat16Bits) {
  return as_float<F>(static_cast<U>(bits << 16));
}

template <typename F, typename U>
ROI_TARGET inline F widened(const U& half, Float16Bits) {
  const U shifted = (half & 0x7fffu) << 13;
  const U exponent = shifted & 0x0f800000u;
  const U normal = shifted + 0x38000000u;
  const F subnormal = as_float<F>(static_cast<U>(normal + 0x00800000u)) -
      as_float<F>(static_cast<U>(normal * 0u + 0x38800000u));
  U small;
  __builtin_memcpy(&small, &subnormal, sizeof(U));
  const U special = normal + 0x38000000u;
  const U finite = exponent == 0u ? small : normal;
  const U magnitude = exponent == 0x0f800000u ? special : finite;
  return as_float<F>(static_cast<U>(magnitude | ((half & 0x8000u) << 16)));
}

template <typename Value>
ROI_TARGET inline void store_as(float* to, const Value& value) {
  store(to, value);
}
template <typename Value>
ROI_TARGET inline void store_as(double* to, const Value& value) {
  store(to, value);
}
template <typename Value, typename Bits>
ROI_TARGET inline void store_as(Bits* to, const Value& value) {
  constexpr int count = sizeof(Value) / sizeof(float);
  if constexpr (count == 1) {
    to->bits = static_cast<uint16_t>(rounded<float, uint32_t, int32_t>(value, Bits()));
  } else {
    typedef typename Pack<uint32_t>::type Words;
    typedef typename Pack<int32_t>::type Ints;
    typedef uint16_t Narrow __attribute__((vector_size(count * 2)));
    store(to, __builtin_convertvector((rounded<Value, Words, Ints>(value, Bits())), Narrow));
  }
}

template <typename Value>
ROI_TARGET inline Value load_as(const float* from) {
  return load<Value>(from);
}
template <typename Value>
ROI_TARGET inline Value load_as(const double* from) {
  return load<Value>(from);
}
template <typename Value, typename Bits>
ROI_TARGET inline Value load_as(const Bits* from) {
  constexpr int count = sizeof(Value) / sizeof(float);
  if constexpr (count == 1) {
    return widened<float, uint32_t>(static_cast<uint32_t>(from->bits), Bits());
  } else {
    typedef typename Pack<uint32_t>::type Words;
    return widened<Value, Words>(load_widened<Words, count>(&from->bits), Bits());
  }
}

// ---- RoIPool ----------------------------------------------------------------------------------

template <typename T, typename Index, bool Vector, int Repeat, bool WithArgmax>
ROI_TARGET inline void max_of_bin(
    const Map<T>& map, Cells rows, Cells columns, int channel, T lowest, T* out, Index* argmax) {
  typedef Lanes<T, Vector> L;
  typename L::Value best[Repeat];
  typename L::Index where[Repeat];
  const bool empty = rows.end <= rows.begin || columns.end <= columns.begin;
  const T start = empty ? T(0) : lowest;
  for (int r = 0; r < Repeat; ++r) {
    best[r] = typename L::Value{} + start;
    where[r] = typename L::Index{} - 1;
  }
  for (int y = rows.begin; y < rows.end; ++y) {
    const T* cell = map.cells + y * map.row_stride + columns.begin * map.column_stride + channel;
    for (int x = columns.begin; x < columns.end; ++x, cell += map.column_stride) {
      const auto index = typename L::Index{} +
          static_cast<typename Signed<sizeof(T)>::type>(y * map.columns + x);
      for (int r = 0; r < Repeat; ++r) {
        const auto value = load<typename L::Value>(cell + r * L::count);
        // Strictly greater, so that the first of equal cells stays and NaN never wins.
        const auto greater = value > best[r];
        best[r] = greater ? value : best[r];
        if constexpr (WithArgmax) where[r] = greater ? index : where[r];
      }
    }
  }
  for (int r = 0; r < Repeat; ++r) {
    auto value = best[r];
    if constexpr (sizeof(T) == 2) {  // a key becomes its float again
      value = static_cast<typename L::Value>(value ^ ((value >> 15) & 0x7fff));
    }
    store(out + channel + r * L::count, value);
    if constexpr (WithArgmax) {
      store_index<Index, L::count>(argmax + channel + r * L::count, where[r]);
    }
  }
}

template <typename T, typename Index, bool Vector, int Repeat, bool WithArgmax>
ROI_TARGET inline void max_of_bins(
    const Map<T>& map, const Cells* rows, int num_rows, const Cells* columns, int num_columns,
    int first, int last, T lowest, T* out, Index* argmax, int64_t stride, int64_t argmax_stride) {
  constexpr int step = Lanes<T, Vector>::count * Repeat;
  for (int i = 0; i < num_rows; ++i) {
    for (int j = 0; j < num_columns; ++j) {
      const int64_t bin = static_cast<int64_t>(i) * num_columns + j;
      Index* where = WithArgmax ? argmax + bin * argmax_stride : nullptr;
      for (int channel = first; channel < last; channel += step) {
        max_of_bin<T, Index, Vector, Repeat, WithArgmax>(
            map, rows[i], columns[j], channel, lowest, out + bin * stride, where);
      }
    }
  }
}

// Maxima of all bins of one RoI: rows x columns bins of ``channels`` channels.  T is int16_t for
// the keys of 16-bit floats.  ``argmax`` may be null; else it receives row * columns + column of
// the map's cell, or all ones where no cell won.
template <typename T, typename Index, bool WithArgmax>
ROI_TARGET void pool_roi(
    const Map<T>& map, const Cells* rows, int num_rows, const Cells* columns, int num_columns,
    int channels, T lowest, T* out, Index* argmax, int64_t stride, int64_t argmax_stride) {
  int first = 0;
  // 16-bit lanes cannot count the cells of a map whose argmax needs 32 bits: channel by channel.
  if constexpr (!(WithArgmax && sizeof(Index) > sizeof(T))) {
    constexpr int lanes = Lanes<T, true>::count;
    int last = channels / (4 * lanes) * (4 * lanes);
    max_of_bins<T, Index, true, 4, WithArgmax>(
        map, rows, num_rows, columns, num_columns, first, last, lowest, out, argmax, stride,
        argmax_stride);
    first = last;
    last = channels / lanes * lanes;
    max_of_bins<T, Index, true, 1, WithArgmax>(
        map, rows, num_rows, columns, num_columns, first, last, lowest, out, argmax, stride,
        argmax_stride);
    first = last;
    max_of_bins<T, Index, false, 1, WithArgmax>(
        map, rows, num_rows, columns, num_columns, first, channels, lowest, out, argmax, stride,
        argmax_stride);
  } else {
    for (int i = 0; i < num_rows; ++i) {
      for (int j = 0; j < num_columns; ++j) {
        const int64_t bin = static_cast<int64_t>(i) * num_columns + j;
        for (int channel = 0; channel < channels; ++channel) {
          T best = lowest;
          Index where = static_cast<Index>(-1);
          for (int y = rows[i].begin; y < rows[i].end; ++y) {
            for (int x = columns[j].begin; x < columns[j].end; ++x) {
              const T value = map.cells[y * map.row_stride + x * map.column_stride + channel];
              if (value > best) {
                best = value;
                where = static_cast<Index>(y * map.columns + x);
              }
            }
          }
          const bool empty =
              rows[i].end <= rows[i].begin || columns[j].end <= columns[j].begin;
          if (empty) best = T(0);
          out[bin * stride + channel] = static_cast<T>(best ^ ((best >> 15) & 0x7fff));
          argmax[bin * argmax_stride + channel] = where;
        }
      }
    }
  }
}

// Rows of a gradient may lie a page apart, where no hardware prefetcher looks: asks for what is
// needed ``ahead`` elements from here.  Between the additions, a cache line at a time, and into the
// L2 cache: a whole row asked for at once, or into L1, has the additions wait for its arrival
// (measured: half the speed).
#define ROI_PREFETCH(from, ahead, count)                                              \
  for (int64_t i = 0; i < static_cast<int64_t>((count) * sizeof(*(from))); i += 64) { \
    __builtin_prefetch(reinterpret_cast<const char*>((from) + (ahead)) + i, 0, 2);    \
  }

// Adds the gradient of one bin to each of its cells, or zero where another cell won: a comparison
// per cell and vector, no addresses that depend on data.
template <typename Sum, typename Grad, typename Index, bool Vector, int Repeat>
ROI_TARGET inline void add_where_won(
    const Grad* grad, const Index* argmax, int64_t ahead, int first, int last, Cells rows,
    Cells columns, int map_columns, Sum* sums, int64_t stride) {
  typedef Lanes<Sum, Vector> L;
  for (int channel = first; channel < last; channel += L::count * Repeat) {
    typename L::Value values[Repeat];
    typename L::Index where[Repeat];
    ROI_PREFETCH(grad + channel, ahead, L::count * Repeat);
    ROI_PREFETCH(argmax + channel, ahead, L::count * Repeat);
    for (int r = 0; r < Repeat; ++r) {
      values[r] = load_as<typename L::Value>(grad + channel + r * L::count);
      where[r] = load_widened<typename L::Index, L::count>(argmax + channel + r * L::count);
    }
    for (int y = rows.begin; y < rows.end; ++y) {
      int index = y * map_columns + columns.begin;
      Sum* cell = sums + index * stride + channel;
      for (int x = columns.begin; x < columns.end; ++x, ++index, cell += stride) {
        for (int r = 0; r < Repeat; ++r) {
          const auto sum = load<typename L::Value>(cell + r * L::count);
          const auto added = where[r] == index ? values[r] : typename L::Value{};
          store(cell + r * L::count, sum + added);
        }
      }
    }
  }
}

// ``sums`` [cells, stride] += the gradient of one bin, at the cells that won it.
template <typename Sum, typename Grad, typename Index>
ROI_TARGET void unpool_bin(
    const Grad* grad, const Index* argmax, int64_t ahead, int channels, Cells rows,
    Cells columns, uint32_t cells, int map_columns, Sum* sums, int64_t stride) {
  constexpr int few = 16;  // cells; from there on a scattered addition is cheaper
  if ((rows.end - rows.begin) * (columns.end - columns.begin) <= few) {
    constexpr int lanes = Lanes<Sum, true>::count;
    const int quads = channels / (4 * lanes) * (4 * lanes);
    const int singles = channels / lanes * lanes;
    add_where_won<Sum, Grad, Index, true, 4>(
        grad, argmax, ahead, 0, quads, rows, columns, map_columns, sums, stride);
    add_where_won<Sum, Grad, Index, true, 1>(
        grad, argmax, ahead, quads, singles, rows, columns, map_columns, sums, stride);
    add_where_won<Sum, Grad, Index, false, 1>(
        grad, argmax, ahead, singles, channels, rows, columns, map_columns, sums, stride);
  } else {
    ROI_PREFETCH(grad, ahead, channels);  // at once: channel by channel is too often
    ROI_PREFETCH(argmax, ahead, channels);
    for (int channel = 0; channel < channels; ++channel) {
      const uint32_t index = static_cast<uint32_t>(argmax[channel]);
      if (index < cells) sums[index * stride + channel] += load_as<Sum>(grad + channel);
    }
  }
}

// ---- RoIAlign ---------------------------------------------------------------------------------

template <typename T, typename Out, bool Vector, int Repeat>
ROI_TARGET inline void mean_of_taps(
    const T* map, const Tap<T>* taps, int num_taps, int first, int last, T count, Out* out) {
  typedef typename Lanes<T, Vector>::Value Value;
  constexpr int lanes = Lanes<T, Vector>::count;
  for (int channel = first; channel < last; channel += lanes * Repeat) {
    Value sum[Repeat];
    for (int r = 0; r < Repeat; ++r) sum[r] = Value{};
    for (int t = 0; t < num_taps; ++t) {
      const Tap<T>& tap = taps[t];
      for (int r = 0; r < Repeat; ++r) {
        const T* from = map + channel + r * lanes;
        // torchvision's order of additions.
        sum[r] += tap.weight[0] * load<Value>(from + tap.offset[0]) +
            tap.weight[1] * load<Value>(from + tap.offset[1]) +
            tap.weight[2] * load<Value>(from + tap.offset[2]) +
            tap.weight[3] * load<Value>(from + tap.offset[3]);
      }
    }
    for (int r = 0; r < Repeat; ++r) store_as(out + channel + r * lanes, sum[r] / count);
  }
}

// The mean of one bin's sampling points, for ``channels`` channels.
template <typename T, typename Out>
ROI_TARGET void align_bin(
    const T* map, const Tap<T>* taps, int num_taps, int channels, T count, Out* out) {
  constexpr int lanes = Lanes<T, true>::count;
  const int quads = channels / (4 * lanes) * (4 * lanes);
  const int singles = channels / lanes * lanes;
  mean_of_taps<T, Out, true, 4>(map, taps, num_taps, 0, quads, count, out);
  mean_of_taps<T, Out, true, 1>(map, taps, num_taps, quads, singles, count, out);
  mean_of_taps<T, Out, false, 1>(map, taps, num_taps, singles, channels, count, out);
}

template <typename T, typename Grad, bool Vector, int Repeat>
ROI_TARGET inline void spread(
    const Grad* grad, int64_t ahead, int first, int last, Cells rows, const T* row_weights,
    Cells columns, const T* column_weights, int map_columns, T* sums, int64_t stride) {
  typedef typename Lanes<T, Vector>::Value Value;
  constexpr int lanes = Lanes<T, Vector>::count;
  for (int channel = first; channel < last; channel += lanes * Repeat) {
    Value values[Repeat];
    ROI_PREFETCH(grad + channel, ahead, lanes * Repeat);
    for (int r = 0; r < Repeat; ++r) {
      values[r] = load_as<Value>(grad + channel + r * lanes);
    }
    for (int y = rows.begin; y < rows.end; ++y) {
      T* cell = sums + (static_cast<int64_t>(y) * map_columns + columns.begin) * stride + channel;
      for (int x = columns.begin; x < columns.end; ++x, cell += stride) {
        const T weight = row_weights[y - rows.begin] * column_weights[x - columns.begin];
        for (int r = 0; r < Repeat; ++r) {
          store(cell + r * lanes, load<Value>(cell + r * lanes) + weight * values[r]);
        }
      }
    }
  }
}

// ``sums`` [cells, stride] += one bin's gradient times the weight of each cell in the bin.
template <typename T, typename Grad>
ROI_TARGET void unalign_bin(
    const Grad* grad, int64_t ahead, int channels, Cells rows, const T* row_weights,
    Cells columns, const T* column_weights, int map_columns, T* sums, int64_t stride) {
  constexpr int lanes = Lanes<T, true>::count;
  const int quads = channels / (4 * lanes) * (4 * lanes);
  const int singles = channels / lanes * lanes;
  spread<T, Grad, true, 4>(
      grad, ahead, 0, quads, rows, row_weights, columns, column_weights, map_columns, sums,
      stride);
  spread<T, Grad, true, 1>(
      grad, ahead, quads, singles, rows, row_weights, columns, column_weights, map_columns,
      sums, stride);
  spread<T, Grad, false, 1>(
      grad, ahead, singles, channels, rows, row_weights, columns, column_weights, map_columns,
      sums, stride);
}

// ---- Layout -----------------------------------------------------------------------------------

// to[j, i] = from[i, j] for a matrix of rows x columns; U is an unsigned integer of the element's
// size.  Square by square, so that both sides stay in cache.
template <typename U>
ROI_TARGET void transpose(
    const U* from, int64_t from_stride, U* to, int64_t to_stride, int64_t rows, int64_t columns) {
  constexpr int64_t side = 16;
  for (int64_t i0 = 0; i0 < rows; i0 += side) {
    const int64_t i1 = i0 + side < rows ? i0 + side : rows;
    for (int64_t j0 = 0; j0 < columns; j0 += side) {
      const int64_t j1 = j0 + side < columns ? j0 + side : columns;
      for (int64_t j = j0; j < j1; ++j) {
        for (int64_t i = i0; i < i1; ++i) to[j * to_stride + i] = from[i * from_stride + j];
      }
    }
  }
}

// Rounds ``count`` sums to the type of the gradient.
template <typename T, typename Out>
ROI_TARGET void convert(const T* from, int64_t count, Out* to) {
  constexpr int lanes = Lanes<T, true>::count;
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    store_as(to + i, load<typename Lanes<T, true>::Value>(from + i));
  }
  for (; i < count; ++i) store_as(to + i, from[i]);
}

// Whether one of the boxes that survived suppresses ``box``.  ``kept``: rows of ``stride`` numbers,
// x1, y1, x2, y2 and areas, of ``count`` boxes and then NaN up to whole steps.
template <typename T>
ROI_TARGET bool is_suppressed(
    const T* kept, int64_t stride, int64_t count, const T* box, T threshold) {
  typedef typename Pack<T>::type Numbers;
  typedef decltype(Numbers() > Numbers()) Answers;
  constexpr int lanes = Pack<T>::lanes;
  const T area = (box[2] - box[0]) * (box[3] - box[1]);
  const Numbers zero = {};
  for (int64_t i = 0; i < count; i += kNmsStep / sizeof(T)) {
    Answers near = {};
    for (int part = 0; part < kNmsStep / static_cast<int>(sizeof(T)); part += lanes) {
      const T* from = kept + i + part;
      // In torchvision's order of operations; the survivor's box is the first of the two.
      const Numbers x1 = load<Numbers>(from), y1 = load<Numbers>(from + stride);
      const Numbers x2 = load<Numbers>(from + 2 * stride), y2 = load<Numbers>(from + 3 * stride);
      const Numbers width = (x2 < box[2] ? x2 : zero + box[2]) - (x1 > box[0] ? x1 : zero + box[0]);
      const Numbers height = (y2 < box[3] ? y2 : zero + box[3]) - (y1 > box[1] ? y1 : zero + box[1]);
      const Numbers common = (width > 0 ? width : zero) * (height > 0 ? height : zero);
      const Numbers both = load<Numbers>(from + 4 * stride) + area - common;
      // A quotient is dear: only where it may be above the threshold (rounding keeps the order).
      const Answers may = common >= both * threshold;
      bool any = false;
      for (int lane = 0; lane < lanes; ++lane) any |= may[lane] != 0;
      if (any) near |= common / both > threshold;
    }
    bool any = false;
    for (int lane = 0; lane < lanes; ++lane) any |= near[lane] != 0;
    if (any) return true;
  }
  return false;
}

}  // namespace ROI_ISA
}  // namespace detection
