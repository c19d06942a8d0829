// CRC-32 as in zip, gzip and PNG (polynomial 0xEDB88320, init and final xor ~0).
#ifndef BALLAST_STORAGE_BASE_CRC32_H_
#define BALLAST_STORAGE_BASE_CRC32_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace ballast {

// CRC of `bytes`, or of what `crc` covers followed by `bytes`.
uint32_t Crc32(absl::string_view bytes, uint32_t crc = 0);

// CRC of A followed by B, from crc(A), crc(B) and B's length. Touches no data.
uint32_t Crc32Combine(uint32_t crc_a, uint32_t crc_b, uint64_t b_size_bytes);

}  // namespace ballast

#endif  // BALLAST_STORAGE_BASE_CRC32_H_
