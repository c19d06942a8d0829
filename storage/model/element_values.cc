#include "storage/model/element_values.h"

#include <array>
#include <cmath>
#include <cstring>
#include <limits>

namespace ballast {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A small floating point number: sign | exponent | mantissa, subnormals as in IEEE 754.
double SmallFloat(uint32_t bits, int exponent_bits, int mantissa_bits, int bias) {
  const uint32_t mantissa = bits & ((1u << mantissa_bits) - 1);
  const int exponent = static_cast<int>((bits >> mantissa_bits) & ((1u << exponent_bits) - 1));
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, 1 - bias - mantissa_bits)
                    : std::ldexp(mantissa + (1u << mantissa_bits), exponent - bias - mantissa_bits);
  return (bits >> (exponent_bits + mantissa_bits) & 1) != 0 ? -magnitude : magnitude;
}

float FloatOf(uint32_t bits) {
  float value = 0;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

double E5m2(uint8_t byte) {
  if ((byte & 0x7F) < 0x7C) return SmallFloat(byte, 5, 2, 15);
  if ((byte & 0x7F) > 0x7C) return kNan;
  return byte == 0x7C ? kInfinity : -kInfinity;
}

double E4m3fn(uint8_t byte) { return (byte & 0x7F) == 0x7F ? kNan : SmallFloat(byte, 4, 3, 7); }

double Fnuz(uint8_t byte, int exponent_bits, int mantissa_bits, int bias) {
  return byte == 0x80 ? kNan : SmallFloat(byte, exponent_bits, mantissa_bits, bias);
}

// The bits of a float, which has a larger exponent.
double Half(uint16_t bits) {
  const uint32_t sign = uint32_t{bits & 0x8000u} << 16;
  const uint32_t magnitude = uint32_t{bits & 0x7FFFu} << 13;
  if ((bits & 0x7C00) == 0x7C00) return FloatOf(sign | magnitude | 0x7F800000u);
  return FloatOf(sign | magnitude) * 0x1p112f;
}

double Brain(uint16_t bits) { return FloatOf(uint32_t{bits} << 16); }

template <typename T, typename F>
void ReadEach(absl::string_view bytes, double* out, F value_of) {
  for (size_t i = 0; i < bytes.size() / sizeof(T); ++i) {
    T element;
    std::memcpy(&element, bytes.data() + i * sizeof(T), sizeof(T));
    out[i] = value_of(element);
  }
}

void ReadBytes(DType dtype, absl::string_view bytes, double* out) {
  std::array<double, 256> values;
  const bool tabled = bytes.size() > values.size();
  for (size_t i = 0; tabled && i < values.size(); ++i) {
    values[i] = ByteValue(dtype, static_cast<uint8_t>(i));
  }
  ReadEach<uint8_t>(bytes, out,
                    [&](uint8_t byte) { return tabled ? values[byte] : ByteValue(dtype, byte); });
}

template <typename T>
void ReadPlain(absl::string_view bytes, double* out) {
  ReadEach<T>(bytes, out, [](T element) { return static_cast<double>(element); });
}

}  // namespace

uint32_t ValuesPerElement(DType dtype) {
  switch (dtype) {
    case DType::kComplex32:
    case DType::kComplex64:
    case DType::kComplex128:
      return 2;
    case DType::kFloat4E2m1fnX2:
    case DType::kFloat6E2m3:
    case DType::kFloat6E3m2:
      return 0;
    default:
      return 1;
  }
}

bool CanBeNotFinite(DType dtype) {
  switch (dtype) {
    case DType::kFloat16:
    case DType::kFloat32:
    case DType::kFloat64:
    case DType::kComplex32:
    case DType::kComplex64:
    case DType::kComplex128:
    case DType::kBfloat16:
    case DType::kFloat8E5m2:
    case DType::kFloat8E4m3fn:
    case DType::kFloat8E5m2fnuz:
    case DType::kFloat8E4m3fnuz:
    case DType::kFloat8E8m0fnu:
      return true;
    default:
      return false;
  }
}

double ByteValue(DType dtype, uint8_t byte) {
  switch (dtype) {
    case DType::kInt8:
    case DType::kQint8:
      return static_cast<int8_t>(byte);
    case DType::kFloat8E5m2:
      return E5m2(byte);
    case DType::kFloat8E4m3fn:
      return E4m3fn(byte);
    case DType::kFloat8E5m2fnuz:
      return Fnuz(byte, 5, 2, 16);
    case DType::kFloat8E4m3fnuz:
      return Fnuz(byte, 4, 3, 8);
    case DType::kFloat8E8m0fnu:
      return byte == 0xFF ? kNan : std::ldexp(1.0, byte - 127);
    default:
      return byte;
  }
}

void ReadValues(DType dtype, absl::string_view bytes, double* out) {
  switch (dtype) {
    case DType::kInt16:
      return ReadPlain<int16_t>(bytes, out);
    case DType::kUint16:
      return ReadPlain<uint16_t>(bytes, out);
    case DType::kInt32:
    case DType::kQint32:
      return ReadPlain<int32_t>(bytes, out);
    case DType::kUint32:
      return ReadPlain<uint32_t>(bytes, out);
    case DType::kInt64:
      return ReadPlain<int64_t>(bytes, out);
    case DType::kUint64:
      return ReadPlain<uint64_t>(bytes, out);
    case DType::kFloat32:
    case DType::kComplex64:
      return ReadPlain<float>(bytes, out);
    case DType::kFloat64:
    case DType::kComplex128:
      return ReadPlain<double>(bytes, out);
    case DType::kFloat16:
    case DType::kComplex32:
      return ReadEach<uint16_t>(bytes, out, Half);
    case DType::kBfloat16:
      return ReadEach<uint16_t>(bytes, out, Brain);
    default:
      return ReadBytes(dtype, bytes, out);
  }
}

}  // namespace ballast
