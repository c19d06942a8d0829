// What is pushed, whether it lies in a file or in memory: tensors that can be read
// by any number of threads, and their facts.
#ifndef BALLAST_CLIENT_PUSH_SOURCE_H_
#define BALLAST_CLIENT_PUSH_SOURCE_H_

#include <ballast/client.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/connection.h"
#include "storage/formats/state_dict.h"
#include "storage/formats/tensor_source.h"
#include "storage/formats/weights_file.h"
#include "storage/model/manifest.h"

namespace ballast {

// Thread-safe.
class PushSource {
 public:
  virtual ~PushSource() = default;
  // A reader for one thread; it must not outlive this.
  virtual std::unique_ptr<TensorSource> NewReader() const = 0;
  // The manifest without its blocks.
  const Manifest& facts() const { return facts_; }
  const std::vector<std::string>& warnings() const { return warnings_; }
  // Whether threads may read different parts of the entry (not if it must be inflated).
  virtual bool Splittable(uint32_t entry) const = 0;
  // Compares what was read (a manifest with blocks) with the container's own checksums.
  // Errors: InvalidArgument/CHECKSUM  names the record.
  virtual absl::Status CheckContainer(const Manifest& manifest) const = 0;

 protected:
  Manifest facts_;
  std::vector<std::string> warnings_;
};

// Weights that were opened, after the rules. Errors: as KeyRules.
absl::StatusOr<std::unique_ptr<PushSource>> PushSourceOf(WeightsFile weights,
                                                         const KeyRuleOptions& rules,
                                                         const Limits& limits);

// Tensors in memory, which must outlive the result; equal memory makes ties.
// Errors: InvalidArgument  a bad or doubled key, a size that does not fit the shape.
absl::StatusOr<std::unique_ptr<PushSource>> OpenPushTensors(absl::Span<const TensorView> tensors,
                                                            const KeyRuleOptions& rules,
                                                            const Limits& limits);

// Reads every tensor once, with two threads, and names its blocks.
// `phase` is what progress is reported as.
// Errors: those of reading; InvalidArgument/CHECKSUM; Cancelled.
absl::StatusOr<Manifest> HashBlocks(const PushSource& source, Operation* operation,
                                    Progress::Phase phase);

// The same without counting values.
absl::StatusOr<Manifest> NameBlocks(const PushSource& source, Operation* operation,
                                    Progress::Phase phase);

// As HashBlocks, without the SHA-256 of blocks of kCrcKnownBytes or more that can be read again: their
// digests are zeros.
absl::StatusOr<Manifest> SumBlocks(const PushSource& source, Operation* operation,
                                   Progress::Phase phase);

// Reads blocks of SumBlocks again, those that `chosen` names, and hashes them.
// Errors: as HashBlocks; InvalidArgument/CHECKSUM  a block is not what it was.
using BlockFilter = std::function<bool(uint32_t entry, uint64_t block)>;
absl::Status HashChosen(const PushSource& source, Operation* operation, Progress::Phase phase,
                        const BlockFilter& chosen, Manifest* manifest);

// Whether all blocks have their digest.
bool IsHashed(const Manifest& manifest);

// Applies rules to a state dict in place.
absl::Status ApplyRules(const KeyRuleOptions& rules, const Limits& limits, SourceStateDict* dict);

}  // namespace ballast

#endif  // BALLAST_CLIENT_PUSH_SOURCE_H_
