// Files that fit in memory, read at once.
#ifndef BALLAST_STORAGE_BASE_SMALL_FILE_H_
#define BALLAST_STORAGE_BASE_SMALL_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace ballast {

// Errors: those of OpenFile. ResourceExhausted  longer than bytes_max; names the file.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path, uint64_t bytes_max);

}  // namespace ballast

#endif  // BALLAST_STORAGE_BASE_SMALL_FILE_H_
