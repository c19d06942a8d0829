#include "client/incoming_data.h"

#include "absl/strings/str_cat.h"
#include "storage/base/checked.h"
#include "storage/base/status.h"

namespace ballast {

absl::Status IncomingData::Check(const DataFrame& data) {
  const uint64_t size = data.payload_bytes();
  if (data.position != position_ || size == 0 || !InRange(position_, size, total_bytes_)) {
    return absl::DataLossError(absl::StrCat("received data: ", size, " bytes at offset ",
                                            data.position, " came, want offset ", position_, " of ",
                                            total_bytes_, " bytes"));
  }
  if (!data.crc32) {
    return absl::DataLossError(
        absl::StrCat("received data at offset ", position_, ": has no CRC-32, want one"));
  }
  RETURN_IF_ERROR(CheckDataCrc(data, absl::StatusCode::kDataLoss, "received data"));
  position_ += size;
  return absl::OkStatus();
}

absl::Status IncomingData::CheckComplete() const {
  if (position_ == total_bytes_) return absl::OkStatus();
  return MakeError(absl::StatusCode::kDataLoss, Reason::kTruncated,
                   absl::StrCat("received data: ", position_, " bytes came, want ", total_bytes_));
}

}  // namespace ballast
