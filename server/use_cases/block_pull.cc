#include "server/use_cases/block_pull.h"

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "server/use_cases/held_manifest.h"
#include "storage/base/crc32.h"
#include "storage/base/status.h"
#include "storage/model/reference.h"

namespace ballast {
namespace {

// Smaller ones are read together.
constexpr uint64_t kSmallBlockBytes = 64u << 10;

}  // namespace

absl::StatusOr<std::unique_ptr<BlockPull>> BlockPull::Open(const Services& services,
                                                           absl::string_view principal,
                                                           const std::string& reference,
                                                           std::vector<BlockRun> runs) {
  ASSIGN_OR_RETURN(const Reference parsed, ParseReference(reference));
  RETURN_IF_ERROR(services.authorizer->Authorize(principal, Action::kRead, parsed.model));
  std::unique_ptr<BlockPull> pull(new BlockPull);
  ASSIGN_OR_RETURN(pull->version_, services.catalog->GetVersion(parsed));
  ASSIGN_OR_RETURN(HeldManifest held, LoadManifest(services, pull->version_));
  pull->memory_ = std::move(held.memory);
  pull->blobs_ = services.blobs;
  pull->runs_ = std::move(runs);
  pull->Number(held.manifest);
  RETURN_IF_ERROR(pull->CheckRuns());
  return pull;
}

void BlockPull::Number(const Manifest& manifest) {
  absl::flat_hash_set<Digest> seen;
  for (const ManifestEntry& entry : manifest.entries) {
    const uint64_t tensor_bytes = CheckedTensorBytes(entry.spec);
    for (size_t b = 0; b < entry.blocks.size(); ++b) {
      const BlockRef& block = entry.blocks[b];
      if (!seen.insert(block.digest).second) continue;
      blocks_.push_back(
          {block.digest, block.crc32, static_cast<uint32_t>(BlockSize(tensor_bytes, b))});
    }
  }
}

absl::Status BlockPull::CheckRuns() const {
  uint64_t left = blocks_.size();
  for (const BlockRun& run : runs_) {
    if (run.first > blocks_.size() || run.count > blocks_.size() - run.first) {
      return absl::OutOfRangeError(absl::StrCat(
          version_.model, ":", version_.version, ": ", run.count, " blocks from number ", run.first,
          " are asked for, want some of its ", blocks_.size()));
    }
    if (run.count > left) {
      return absl::OutOfRangeError(absl::StrCat(version_.model, ":", version_.version,
                                                ": more blocks are asked for than its ",
                                                blocks_.size(), ", want each at most once"));
    }
    left -= run.count;
  }
  return absl::OkStatus();
}

// The blocks of the next message.
std::vector<const BlockPull::Block*> BlockPull::Take() {
  std::vector<const Block*> taken;
  uint64_t bytes = 0;
  while (run_ < runs_.size()) {
    const BlockRun& run = runs_[run_];
    if (within_ == run.count) {
      ++run_;
      within_ = 0;
      continue;
    }
    const Block& block = blocks_[run.first + within_];
    if (!taken.empty() && bytes + block.size_bytes > kDataMessageBytes) break;
    bytes += block.size_bytes;
    taken.push_back(&block);
    ++within_;
  }
  return taken;
}

absl::StatusOr<PullPiece> BlockPull::Next() {
  const std::vector<const Block*> taken = Take();
  PullPiece piece;
  if (taken.empty()) return piece;
  piece.position = static_cast<uint64_t>(taken[0] - blocks_.data());
  std::vector<Digest> small;
  for (const Block* block : taken) {
    if (block->size_bytes <= kSmallBlockBytes) small.push_back(block->digest);
  }
  ASSIGN_OR_RETURN(std::vector<Chunk> small_chunks, blobs_->GetMany(small));
  size_t next_small = 0;
  for (const Block* block : taken) {
    Chunk chunk;
    if (block->size_bytes <= kSmallBlockBytes) {
      chunk = std::move(small_chunks[next_small++]);
    } else {
      ASSIGN_OR_RETURN(chunk, blobs_->Get(block->digest));
    }
    if (chunk.bytes.size() != block->size_bytes) {
      return absl::DataLossError(absl::StrCat("block ", block->digest.Hex(), ": size is ",
                                              chunk.bytes.size(), " bytes, want ",
                                              block->size_bytes));
    }
    piece.crc32 = Crc32Combine(piece.crc32, block->crc32, block->size_bytes);
    AppendChunk(std::move(chunk), &piece.chunks);
  }
  return piece;
}

}  // namespace ballast
