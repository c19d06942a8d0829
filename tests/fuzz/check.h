// What must hold whatever the input was.
#ifndef BALLAST_TESTS_FUZZ_CHECK_H_
#define BALLAST_TESTS_FUZZ_CHECK_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/base/byte_io.h"
#include "storage/base/limits.h"
#include "storage/formats/state_dict.h"
#include "storage/model/format.h"

namespace ballast::fuzz {

// Aborts, saying `what`, if it does not hold. Also in builds without assertions.
void Require(bool holds, absl::string_view what, absl::string_view detail = "");

// Limits that a few kilobytes reach.
Limits SmallLimits();

// A refusal of input: a code and a reason that the headers name, and a message of one
// printable line of bounded length. Never Internal, never DataLoss.
void CheckRefusal(const absl::Status& status);

// Well-formed JSON, or (with `or_empty`) no text at all.
void CheckJson(absl::string_view text, bool or_empty = false);

// What ReadStateDict promises of its answer, whether good or bad; then reads every
// tensor, and writes what was read in every format that has its dtypes, and reads that
// again to the same tensors. Small enough answers only, so that a run stays short.
void CheckAnswer(const ByteSource& source, const absl::StatusOr<SourceStateDict>& answer);

// The file read with random access and front to back: both refuse, or both find the
// same tensors and facts.
void CheckBothWays(absl::string_view file, Format format);

// The front of an input as numbers and texts, for inputs that describe something. At
// the end everything is zero or empty.
class Pieces {
 public:
  explicit Pieces(absl::string_view input) : left_(input) {}
  uint8_t Byte() { return static_cast<uint8_t>(Number(1)); }
  uint64_t Number(size_t bytes);
  // A u16 length, and as many bytes; fewer at the end.
  std::string Text();
  absl::string_view Rest() { return std::exchange(left_, {}); }
  bool empty() const { return left_.empty(); }

 private:
  absl::string_view left_;
};

}  // namespace ballast::fuzz

#endif  // BALLAST_TESTS_FUZZ_CHECK_H_
