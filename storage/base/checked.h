// Arithmetic on numbers that came from outside: false means overflow.
#ifndef BALLAST_STORAGE_BASE_CHECKED_H_
#define BALLAST_STORAGE_BASE_CHECKED_H_

#include <cstdint>

namespace ballast {

[[nodiscard]] inline bool CheckedAdd(uint64_t a, uint64_t b, uint64_t* out) {
  return !__builtin_add_overflow(a, b, out);
}
[[nodiscard]] inline bool CheckedMul(uint64_t a, uint64_t b, uint64_t* out) {
  return !__builtin_mul_overflow(a, b, out);
}
// True if [offset, offset + length) lies inside [0, size).
[[nodiscard]] inline bool InRange(uint64_t offset, uint64_t length, uint64_t size) {
  return offset <= size && length <= size - offset;
}

}  // namespace ballast

#endif  // BALLAST_STORAGE_BASE_CHECKED_H_
