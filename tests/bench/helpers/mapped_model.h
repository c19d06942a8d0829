// A weight file as tensors in memory whose content can be made new at will.
#ifndef BALLAST_TESTS_BENCH_HELPERS_MAPPED_MODEL_H_
#define BALLAST_TESTS_BENCH_HELPERS_MAPPED_MODEL_H_

#include <ballast/client.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ballast::bench {

// The file is mapped privately: a stamp in each block makes all blocks new and costs one page
// a block, so that many different models of a gigabyte fit into memory at once.
class MappedModel {
 public:
  // Any format whose tensors lie in the file as they are (safetensors, .dat, zip records).
  // Errors: as ReadStateDict; InvalidArgument  tensors that are not contiguous.
  static absl::StatusOr<std::unique_ptr<MappedModel>> Open(const std::string& path);
  ~MappedModel();
  MappedModel(const MappedModel&) = delete;
  MappedModel& operator=(const MappedModel&) = delete;

  // Writes `stamp` into the first bytes of every block of every tensor.
  void Stamp(uint64_t stamp);
  // Valid as long as this.
  const std::vector<TensorView>& tensors() const { return tensors_; }
  uint64_t bytes() const { return bytes_; }

 private:
  MappedModel(char* memory, uint64_t size_bytes) : memory_(memory), size_bytes_(size_bytes) {}

  char* const memory_;
  const uint64_t size_bytes_;
  std::vector<TensorView> tensors_;
  uint64_t bytes_ = 0;
};

}  // namespace ballast::bench

#endif  // BALLAST_TESTS_BENCH_HELPERS_MAPPED_MODEL_H_
