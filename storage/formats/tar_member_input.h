// Reads one member of a tar archive forward: pickles, integers and runs of bytes.
#ifndef BALLAST_STORAGE_FORMATS_TAR_MEMBER_INPUT_H_
#define BALLAST_STORAGE_FORMATS_TAR_MEMBER_INPUT_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/base/byte_io.h"
#include "storage/base/limits.h"
#include "storage/formats/pickle_machine.h"
#include "storage/formats/tar_reader.h"

namespace ballast {

// Borrows: all arguments of the constructor must outlive this. Not thread-safe.
//
// Errors of all: InvalidArgument/TRUNCATED  the member ends too early. Messages name the
// byte in the member, not the member.
class TarMemberInput {
 public:
  TarMemberInput(const ByteSource* source, const TarMember* member, const Limits* limits)
      : source_(source),
        member_(member),
        limits_(limits),
        position_(member->offset_bytes),
        end_(member->offset_bytes + member->size_bytes) {}

  // The pickle that begins here, of any length.
  absl::StatusOr<PickleGraph> ReadPickle(ClassIds class_ids = ClassIds::kModule);
  // The same for a pickle of at most 1 KiB, of which there may be many.
  absl::StatusOr<PickleGraph> ReadSmallPickle();
  // A little-endian integer of 4 or 8 bytes.
  absl::StatusOr<int64_t> ReadInteger(size_t width);
  absl::Status Skip(uint64_t size_bytes);
  // Errors: InvalidArgument/MALFORMED  there are bytes left.
  absl::Status CheckEnd() const;

  uint64_t position() const { return position_; }  // in the source

 private:
  absl::Status CheckLeft(uint64_t size_bytes) const;
  absl::StatusOr<PickleGraph> Take(absl::StatusOr<PickleResult> result);

  const ByteSource* source_;  // Must outlive this.
  const TarMember* member_;   // Must outlive this.
  const Limits* limits_;      // Must outlive this.
  uint64_t position_;
  const uint64_t end_;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_TAR_MEMBER_INPUT_H_
