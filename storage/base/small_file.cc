#include "storage/base/small_file.h"

#include <memory>

#include "absl/types/span.h"
#include "storage/base/file.h"
#include "storage/base/status.h"

namespace ballast {

absl::StatusOr<std::string> ReadSmallFile(const std::string& path, uint64_t bytes_max) {
  ASSIGN_OR_RETURN(const auto file, OpenFile(path));
  const uint64_t size = file->size_bytes();
  if (size > bytes_max) {
    return LimitError(Printable(path), ": is ", size, " bytes, want at most ", bytes_max);
  }
  std::string bytes(size, '\0');
  if (size > 0) RETURN_IF_ERROR(file->ReadAt(0, absl::MakeSpan(bytes)), Printable(path));
  return bytes;
}

}  // namespace ballast
