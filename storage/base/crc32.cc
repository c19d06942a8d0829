#include "storage/base/crc32.h"

#include <libdeflate.h>
#include <zlib.h>

namespace ballast {

uint32_t Crc32(absl::string_view bytes, uint32_t crc) {
  return libdeflate_crc32(crc, bytes.data(), bytes.size());
}

uint32_t Crc32Combine(uint32_t crc_a, uint32_t crc_b, uint64_t b_size_bytes) {
  return static_cast<uint32_t>(crc32_combine64(crc_a, crc_b, static_cast<z_off64_t>(b_size_bytes)));
}

}  // namespace ballast
