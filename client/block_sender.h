// Packs blocks into data messages.
#ifndef BALLAST_CLIENT_BLOCK_SENDER_H_
#define BALLAST_CLIENT_BLOCK_SENDER_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "client/call.h"
#include "proto/frame.h"
#include "storage/formats/tensor_source.h"
#include "storage/model/manifest.h"

namespace ballast {

// A distinct block of a manifest: where its bytes are.
struct BlockPlace {
  uint32_t entry = 0;
  uint64_t index = 0;
};

// The distinct blocks in the order of their first appearance: the numbers by which a
// server asks for them (NeedPiece in proto/ballast/v1). What is not hashed is distinct, but for ties.
std::vector<BlockPlace> DistinctBlocks(const Manifest& manifest);

// Whole blocks, several to a message. Big blocks travel as they lie in memory, small
// ones are gathered.
class BlockSender {
 public:
  // All must outlive this.
  BlockSender(ClientCall* call, TensorSource* reader, const Manifest* manifest)
      : call_(call), reader_(reader), manifest_(manifest) {}

  // Reads a block and adds it; sends what is full. `local` is set if the failure is not
  // the call's.
  absl::Status Add(const BlockPlace& place, bool* local);
  absl::Status Flush();
  // Handed to the call so far.
  uint64_t sent_bytes() const { return sent_bytes_; }

 private:
  absl::Status ReadBlock(const BlockPlace& place, uint64_t size_bytes);
  void Append(Chunk chunk);

  ClientCall* const call_;
  TensorSource* const reader_;
  const Manifest* const manifest_;
  DataFrame frame_;
  std::string small_;  // gathered, not yet in the frame
  uint64_t frame_bytes_ = 0;
  uint64_t frame_blocks_ = 0;
  uint32_t frame_crc32_ = 0;
  uint64_t position_ = 0;  // number of the frame's first block
  uint64_t sent_bytes_ = 0;
};

}  // namespace ballast

#endif  // BALLAST_CLIENT_BLOCK_SENDER_H_
