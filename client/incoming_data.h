// Checks the data messages of a server, one after the other.
#ifndef BALLAST_CLIENT_INCOMING_DATA_H_
#define BALLAST_CLIENT_INCOMING_DATA_H_

#include <cstdint>

#include "absl/status/status.h"
#include "proto/frame.h"

namespace ballast {

// Not thread-safe.
class IncomingData {
 public:
  // How many bytes there are in all; data before this is refused.
  void Expect(uint64_t total_bytes) { total_bytes_ = total_bytes; }
  // Data that begins here, fits, and has the CRC-32 that it came with.
  // Errors: DataLoss/CHECKSUM  bytes differ. DataLoss  not the bytes that are due.
  absl::Status Check(const DataFrame& data);
  // Nothing is missing. Errors: DataLoss/TRUNCATED.
  absl::Status CheckComplete() const;

  uint64_t position() const { return position_; }
  uint64_t total_bytes() const { return total_bytes_; }

 private:
  uint64_t position_ = 0;
  uint64_t total_bytes_ = 0;
};

}  // namespace ballast

#endif  // BALLAST_CLIENT_INCOMING_DATA_H_
