#include "storage/model/value_counter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/model/element_values.h"

namespace ballast {
namespace {

// Counted at once: in the fastest cache, and short enough that 16 bits count its zeros.
constexpr uint64_t kChunkBytes = 8192;

// Vectors of 32 bytes; where the machine has none, the compiler takes several small ones.
// Lanes are fixed, so that sums come out the same.
using Int8s = int8_t __attribute__((vector_size(32)));
using Uint8s = uint8_t __attribute__((vector_size(32)));
using Uint16s = uint16_t __attribute__((vector_size(32)));
using Int16s = int16_t __attribute__((vector_size(32)));
using Int32s = int32_t __attribute__((vector_size(32)));
using Int64s = int64_t __attribute__((vector_size(32)));
using Floats = float __attribute__((vector_size(32)));
using HalfFloats = float __attribute__((vector_size(16)));
using Doubles = double __attribute__((vector_size(32)));

#define BALLAST_INLINE inline __attribute__((always_inline))

// Adds eight floats to four doubles. The first addition is one of floats: it may round at
// 2^-24, which nobody sees in a mean, and saves half of the conversions.
BALLAST_INLINE void AddFloats(const Floats& floats, Doubles* sum) {
  HalfFloats first, second;
  std::memcpy(&first, &floats, sizeof(first));
  std::memcpy(&second, reinterpret_cast<const char*>(&floats) + sizeof(first), sizeof(second));
  *sum += __builtin_convertvector(first + second, Doubles);
}

BALLAST_INLINE void FloatsOf(const Int32s& bits, Floats* out) {
  std::memcpy(out, &bits, sizeof(*out));
}

// Bits of an IEEE number as an integer: all but the sign, and the least that infinities and
// NaNs have.
template <typename Int, uint64_t kMantissaBits>
struct Bits {
  static constexpr Int kMagnitude = std::numeric_limits<Int>::max();
  static constexpr Int kInfinity =
      static_cast<Int>(kMagnitude & ~((uint64_t{1} << kMantissaBits) - 1));
  static constexpr int kSignShift = sizeof(Int) * 8 - 1;
};

// How the lanes of a dtype are read from 32 bytes and added up.
struct Float32Lanes : Bits<int32_t, 23> {
  using Int = int32_t;
  using Ints = Int32s;
  static BALLAST_INLINE void Sum(const char* bytes, Doubles* sum) {
    Floats floats;
    std::memcpy(&floats, bytes, sizeof(floats));
    AddFloats(floats, sum);
  }
};

struct Bfloat16Lanes : Bits<int16_t, 7> {
  using Int = int16_t;
  using Ints = Int16s;
  // A bfloat16 is the upper half of a float.
  static BALLAST_INLINE void Sum(const char* bytes, Doubles* sum) {
    Int32s pairs;
    std::memcpy(&pairs, bytes, sizeof(pairs));
    Floats even, odd;
    FloatsOf(pairs << 16, &even);
    FloatsOf(pairs & ~0xFFFF, &odd);
    AddFloats(even + odd, sum);
  }
};

struct Float16Lanes : Bits<int16_t, 10> {
  using Int = int16_t;
  using Ints = Int16s;
  // Exponent and mantissa moved to where a float has them, its bias made up for.
  static BALLAST_INLINE void Sum(const char* bytes, Doubles* sum) {
    Int32s pairs;
    std::memcpy(&pairs, bytes, sizeof(pairs));
    Floats even, odd;
    FloatsOf(((pairs & 0x7FFF) << 13) | ((pairs & 0x8000) << 16), &even);
    FloatsOf(((pairs >> 3) & (0x7FFF << 13)) | (pairs & ~0x7FFFFFFF), &odd);
    AddFloats((even + odd) * 0x1p112f, sum);
  }
};

struct Float64Lanes : Bits<int64_t, 52> {
  using Int = int64_t;
  using Ints = Int64s;
  static BALLAST_INLINE void Sum(const char* bytes, Doubles* sum) {
    Doubles doubles;
    std::memcpy(&doubles, bytes, sizeof(doubles));
    *sum += doubles;
  }
};

void CountOne(double value, ValueTally* tally) {
  if (std::isnan(value)) {
    ++tally->nan;
  } else if (std::isinf(value)) {
    ++tally->inf;
  } else {
    ++tally->finite;
    tally->zeros += value == 0 ? 1 : 0;
    tally->sum += value;
    tally->min = std::min(tally->min, value);
    tally->max = std::max(tally->max, value);
  }
}

// Any dtype, value by value.
void CountSlowly(DType dtype, const char* bytes, uint64_t size, ValueTally* tally) {
  std::array<double, 512> values;
  const uint64_t width = InfoOf(dtype).bits / 8 / ValuesPerElement(dtype);
  for (uint64_t at = 0; at < size;) {
    const uint64_t n = std::min(size - at, values.size() * width / 16 * 16);
    ReadValues(dtype, {bytes + at, n}, values.data());
    for (uint64_t i = 0; i < n / width; ++i) CountOne(values[i], tally);
    at += n;
  }
}

double ValueAt(DType dtype, const void* element) {
  std::array<double, 2> values;
  const uint64_t width = InfoOf(dtype).bits / 8;
  ReadValues(dtype, {static_cast<const char*>(element), width}, values.data());
  return values[0];
}

// The dtype of one number of it.
DType PartOf(DType dtype) {
  switch (dtype) {
    case DType::kComplex32:
      return DType::kFloat16;
    case DType::kComplex64:
      return DType::kFloat32;
    case DType::kComplex128:
      return DType::kFloat64;
    default:
      return dtype;
  }
}

// A whole number of vectors, at most a chunk, of finite numbers; false, and nothing
// counted, if some are not, or are too large. Numbers are compared as integers: that is their order
// once the magnitude of negative ones is turned over.
template <typename Lanes>
BALLAST_INLINE bool CountFinite(DType dtype, const char* bytes, uint64_t size, ValueTally* tally) {
  using Int = typename Lanes::Int;
  using Ints = typename Lanes::Ints;
  constexpr size_t kLanes = sizeof(Ints) / sizeof(Int);
  Ints top = {}, zeros = {};
  Ints low = top + Lanes::kMagnitude, high = ~low;
  Doubles sums = {};
  for (uint64_t at = 0; at < size; at += sizeof(Ints)) {
    Ints v;
    std::memcpy(&v, bytes + at, sizeof(v));
    const Ints magnitude = v & Lanes::kMagnitude;
    const Ints key = v ^ ((v >> Lanes::kSignShift) & Lanes::kMagnitude);
    top = magnitude > top ? magnitude : top;
    low = key < low ? key : low;
    high = key > high ? key : high;
    zeros -= magnitude == 0;
    Lanes::Sum(bytes + at, &sums);
  }
  Int most = 0, least_key = low[0], most_key = high[0];
  uint64_t zero_count = 0;
  for (size_t i = 0; i < kLanes; ++i) {
    most = std::max(most, top[i]);
    least_key = std::min(least_key, low[i]);
    most_key = std::max(most_key, high[i]);
    zero_count += static_cast<uint64_t>(zeros[i]);
  }
  const double sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  // The sum of floats can overflow where that of doubles does not.
  if (most >= Lanes::kInfinity || !std::isfinite(sum)) return false;
  const auto number = [dtype](Int key) {
    const Int bits = static_cast<Int>(key ^ ((key >> Lanes::kSignShift) & Lanes::kMagnitude));
    return ValueAt(dtype, &bits);
  };
  tally->finite += size / sizeof(Int);
  tally->zeros += zero_count;
  tally->sum += sum;
  tally->min = std::min(tally->min, number(least_key));
  tally->max = std::max(tally->max, number(most_key));
  return true;
}

template <typename Lanes>
BALLAST_INLINE void CountFloats(DType dtype, const char* bytes, uint64_t size, ValueTally* tally) {
  for (uint64_t at = 0; at < size; at += kChunkBytes) {
    const uint64_t n = std::min(kChunkBytes, size - at);
    const uint64_t whole = n / sizeof(typename Lanes::Ints) * sizeof(typename Lanes::Ints);
    if (!CountFinite<Lanes>(dtype, bytes + at, whole, tally)) {
      CountSlowly(dtype, bytes + at, whole, tally);
    }
    CountSlowly(dtype, bytes + at + whole, n - whole, tally);
  }
}

template <typename Lanes>
struct FloatLanes {
  static BALLAST_INLINE void Count(DType dtype, const char* bytes, uint64_t size,
                                   ValueTally* tally) {
    CountFloats<Lanes>(dtype, bytes, size, tally);
  }
};

// Small floats have few values: counting those is enough.
void CountBytes(DType dtype, const char* bytes, uint64_t size, ValueTally* tally) {
  constexpr size_t kTables = 4;  // so that an addition need not wait for the one before
  std::array<std::array<uint32_t, 256>, kTables> seen = {};
  uint64_t at = 0;
  for (; at + 8 <= size; at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes + at, 8);
    for (size_t i = 0; i < 8; ++i) ++seen[i % kTables][(word >> (8 * i)) & 0xFF];
  }
  for (; at < size; ++at) ++seen[0][static_cast<uint8_t>(bytes[at])];
  for (size_t byte = 0; byte < 256; ++byte) {
    const uint64_t count = uint64_t{seen[0][byte]} + seen[1][byte] + seen[2][byte] + seen[3][byte];
    if (count == 0) continue;
    ValueTally one;
    CountOne(ByteValue(dtype, static_cast<uint8_t>(byte)), &one);
    tally->nan += one.nan * count;
    tally->inf += one.inf * count;
    tally->zeros += one.zeros * count;
    tally->finite += one.finite * count;
    tally->sum += one.sum * static_cast<double>(count);
    tally->min = std::min(tally->min, one.min);
    tally->max = std::max(tally->max, one.max);
  }
}

// Integers of up to 32 bits; the sum of a chunk of them is exact.
template <typename Int>
BALLAST_INLINE void CountIntegers(const char* bytes, uint64_t size, ValueTally* tally) {
  for (uint64_t at = 0; at < size; at += kChunkBytes) {
    const uint64_t n = std::min(kChunkBytes, size - at) / sizeof(Int);
    Int low = std::numeric_limits<Int>::max(), high = std::numeric_limits<Int>::min();
    uint32_t zeros = 0;
    int64_t sum = 0;
    for (uint64_t i = 0; i < n; ++i) {
      Int value;
      std::memcpy(&value, bytes + at + i * sizeof(Int), sizeof(Int));
      low = std::min(low, value);
      high = std::max(high, value);
      zeros += value == 0 ? 1 : 0;
      sum += value;
    }
    if (n == 0) continue;
    tally->finite += n;
    tally->zeros += zeros;
    tally->sum += static_cast<double>(sum);
    tally->min = std::min(tally->min, static_cast<double>(low));
    tally->max = std::max(tally->max, static_cast<double>(high));
  }
}

template <typename Int>
struct IntegerLanes {
  static BALLAST_INLINE void Count(DType, const char* bytes, uint64_t size, ValueTally* tally) {
    CountIntegers<Int>(bytes, size, tally);
  }
};

// Whole vectors of integers of 8 bits, compared without their sign: `bias` turns it over.
BALLAST_INLINE void CountByteVectors(const char* bytes, uint64_t size, uint8_t bias,
                                     ValueTally* tally) {
  constexpr uint64_t kRunBytes = 64 * sizeof(Uint8s);  // as 8 bits count zeros, and 16 add bytes
  Uint8s low = Uint8s{} + uint8_t{0xFF}, high = {};
  uint64_t zeros = 0, sum = 0;
  for (uint64_t begin = 0; begin < size; begin += kRunBytes) {
    const uint64_t end = std::min(size, begin + kRunBytes);
    Int8s run_zeros = {};
    Uint16s run_sum = {};
    for (uint64_t at = begin; at < end; at += sizeof(Uint8s)) {
      Uint8s v;
      std::memcpy(&v, bytes + at, sizeof(v));
      v ^= bias;
      low = v < low ? v : low;
      high = v > high ? v : high;
      run_zeros -= v == bias;
      Uint16s pairs;
      std::memcpy(&pairs, &v, sizeof(pairs));
      run_sum += (pairs & uint16_t{0xFF}) + (pairs >> 8);
    }
    for (size_t i = 0; i < sizeof(Uint8s); ++i) zeros += static_cast<uint64_t>(run_zeros[i]);
    for (size_t i = 0; i < sizeof(Uint8s) / 2; ++i) sum += run_sum[i];
  }
  uint8_t least = low[0], most = high[0];
  for (size_t i = 1; i < sizeof(Uint8s); ++i) {
    least = std::min(least, low[i]);
    most = std::max(most, high[i]);
  }
  const double shift = bias;
  tally->finite += size;
  tally->zeros += zeros;
  tally->sum += static_cast<double>(sum) - shift * static_cast<double>(size);
  tally->min = std::min(tally->min, least - shift);
  tally->max = std::max(tally->max, most - shift);
}

template <typename Int>
struct ByteLanes {
  static BALLAST_INLINE void Count(DType, const char* bytes, uint64_t size, ValueTally* tally) {
    const uint64_t whole = size / sizeof(Uint8s) * sizeof(Uint8s);
    const uint8_t bias = std::is_signed_v<Int> ? 0x80 : 0;
    if (whole > 0) CountByteVectors(bytes, whole, bias, tally);
    CountIntegers<Int>(bytes + whole, size - whole, tally);
  }
};

using Kernel = void (*)(DType dtype, const char* bytes, uint64_t size, ValueTally* tally);

template <typename Lanes>
void CountPlainly(DType dtype, const char* bytes, uint64_t size, ValueTally* tally) {
  Lanes::Count(dtype, bytes, size, tally);
}

#if defined(__x86_64__)
template <typename Lanes>
__attribute__((target("avx2"))) void CountWithAvx2(DType dtype, const char* bytes, uint64_t size,
                                                   ValueTally* tally) {
  Lanes::Count(dtype, bytes, size, tally);
}

template <typename Lanes>
Kernel Best() {
  return __builtin_cpu_supports("avx2") ? CountWithAvx2<Lanes> : CountPlainly<Lanes>;
}
#else
template <typename Lanes>
Kernel Best() {
  return CountPlainly<Lanes>;
}
#endif

Kernel KernelOf(DType dtype) {
  if (ValuesPerElement(dtype) == 0) return nullptr;
  switch (PartOf(dtype)) {
    case DType::kFloat32:
      return Best<FloatLanes<Float32Lanes>>();
    case DType::kBfloat16:
      return Best<FloatLanes<Bfloat16Lanes>>();
    case DType::kFloat16:
      return Best<FloatLanes<Float16Lanes>>();
    case DType::kFloat64:
      return Best<FloatLanes<Float64Lanes>>();
    case DType::kInt16:
      return Best<IntegerLanes<int16_t>>();
    case DType::kUint16:
      return Best<IntegerLanes<uint16_t>>();
    case DType::kInt32:
    case DType::kQint32:
      return Best<IntegerLanes<int32_t>>();
    case DType::kUint32:
      return Best<IntegerLanes<uint32_t>>();
    case DType::kInt8:
    case DType::kQint8:
      return Best<ByteLanes<int8_t>>();
    case DType::kBool:
    case DType::kUint8:
    case DType::kQuint8:
      return Best<ByteLanes<uint8_t>>();
    default:
      return InfoOf(dtype).bits == 8 ? CountBytes : CountSlowly;
  }
}

std::string CountsText(const ManifestEntry& entry) {
  if (!entry.health.has_value()) return "not counted";
  const Health& health = *entry.health;
  return absl::StrCat(health.nan > 0 ? absl::StrCat(health.nan, " NaN") : "",
                      health.nan > 0 && health.inf > 0 ? ", " : "",
                      health.inf > 0 ? absl::StrCat(health.inf, " Inf") : "");
}

}  // namespace

void ValueTally::Append(const ValueTally& next) {
  nan += next.nan;
  inf += next.inf;
  zeros += next.zeros;
  finite += next.finite;
  sum += next.sum;
  min = std::min(min, next.min);
  max = std::max(max, next.max);
}

std::optional<Health> HealthOf(DType dtype, const ValueTally& tally) {
  if (ValuesPerElement(dtype) == 0) return std::nullopt;
  Health health;
  health.nan = tally.nan;
  health.inf = tally.inf;
  health.zeros = tally.zeros;
  if (tally.finite == 0) return health;
  // Adding 0 makes -0 a 0.
  health.min = tally.min + 0.0;
  health.max = tally.max + 0.0;
  const double mean = tally.sum / static_cast<double>(tally.finite);
  // A sum can be rounded past the others, and one of huge doubles can overflow.
  const double middle = health.min / 2 + health.max / 2;
  health.mean = std::clamp(std::isfinite(mean) ? mean : middle, health.min, health.max) + 0.0;
  return health;
}

ValueCounter::ValueCounter(DType dtype) : dtype_(PartOf(dtype)), kernel_(KernelOf(dtype)) {}

void ValueCounter::Add(absl::string_view bytes) {
  if (kernel_ == nullptr) return;
  if (!carry_.empty()) {
    const size_t n = std::min<size_t>(kChunkBytes - carry_.size(), bytes.size());
    carry_.append(bytes.data(), n);
    bytes.remove_prefix(n);
    if (carry_.size() < kChunkBytes) return;
    kernel_(dtype_, carry_.data(), carry_.size(), &tally_);
    carry_.clear();
  }
  const size_t whole = bytes.size() / kChunkBytes * kChunkBytes;
  kernel_(dtype_, bytes.data(), whole, &tally_);
  carry_.append(bytes.data() + whole, bytes.size() - whole);
}

ValueTally ValueCounter::Finish() {
  if (kernel_ != nullptr) kernel_(dtype_, carry_.data(), carry_.size(), &tally_);
  carry_.clear();
  return std::exchange(tally_, ValueTally());
}

absl::Status CheckAllFinite(const Manifest& manifest) {
  constexpr size_t kNamed = 10;
  size_t bad = 0;
  std::string names;
  for (const ManifestEntry& entry : manifest.entries) {
    if (!CanBeNotFinite(entry.spec.dtype)) continue;
    if (entry.health.has_value() && entry.health->nan + entry.health->inf == 0) continue;
    if (++bad > kNamed) continue;
    absl::StrAppend(&names, bad == 1 ? "" : ", ", QuotedKey(entry.spec.key), " (",
                    CountsText(entry), ")");
  }
  if (bad == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("values: NaN or Inf in ", bad, bad == 1 ? " tensor: " : " tensors: ", names,
                   bad > kNamed ? absl::StrCat(" and ", bad - kNamed, " more") : "",
                   ", want finite numbers (no_nan)"));
}

}  // namespace ballast
