#include "client/block_sender.h"

#include "absl/container/flat_hash_set.h"
#include "ballast/v1/registry.pb.h"
#include "storage/base/crc32.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

// Below this, copying costs less than a piece of its own.
constexpr size_t kGatherBytes = 32u << 10;

}  // namespace

std::vector<BlockPlace> DistinctBlocks(const Manifest& manifest) {
  const std::vector<uint32_t> twins = TieRepresentatives(manifest.entries.size(), manifest.ties);
  std::vector<BlockPlace> out;
  absl::flat_hash_set<Digest> seen;
  for (uint32_t e = 0; e < manifest.entries.size(); ++e) {
    const std::vector<BlockRef>& blocks = manifest.entries[e].blocks;
    for (uint64_t b = 0; b < blocks.size(); ++b) {
      const bool hashed = blocks[b].digest != Digest();
      if (hashed ? seen.insert(blocks[b].digest).second : twins[e] == e) out.push_back({e, b});
    }
  }
  return out;
}

void BlockSender::Append(Chunk chunk) {
  if (chunk.bytes.size() < kGatherBytes) {
    small_.append(chunk.bytes.data(), chunk.bytes.size());
    return;
  }
  if (!small_.empty()) frame_.payload.push_back(Chunk::Own(std::exchange(small_, {})));
  frame_.payload.push_back(std::move(chunk));
}

absl::Status BlockSender::ReadBlock(const BlockPlace& place, uint64_t size_bytes) {
  for (uint64_t done = 0; done < size_bytes;) {
    ASSIGN_OR_RETURN(Chunk chunk, reader_->Read(place.entry, place.index * kBlockBytes + done,
                                                size_bytes - done));
    done += chunk.bytes.size();
    Append(std::move(chunk));
  }
  return absl::OkStatus();
}

absl::Status BlockSender::Add(const BlockPlace& place, bool* local) {
  const ManifestEntry& entry = manifest_->entries[place.entry];
  const uint64_t size = BlockSize(CheckedTensorBytes(entry.spec), place.index);
  if (frame_bytes_ + size > kDataMessageBytes) RETURN_IF_ERROR(Flush());
  if (absl::Status read = ReadBlock(place, size); !read.ok()) {
    *local = true;
    return read;
  }
  // The CRC of the first reading: a file that changed since is found out.
  frame_crc32_ = Crc32Combine(frame_crc32_, entry.blocks[place.index].crc32, size);
  frame_bytes_ += size;
  ++frame_blocks_;
  return absl::OkStatus();
}

absl::Status BlockSender::Flush() {
  if (frame_blocks_ == 0) return absl::OkStatus();
  if (!small_.empty()) frame_.payload.push_back(Chunk::Own(std::exchange(small_, {})));
  frame_.field = v1::PushRequest::kBlockFieldNumber;
  frame_.position = position_;
  frame_.crc32 = frame_crc32_;
  RETURN_IF_ERROR(call_->SendData(std::exchange(frame_, {})));
  position_ += std::exchange(frame_blocks_, 0);
  sent_bytes_ += std::exchange(frame_bytes_, 0);
  frame_crc32_ = 0;
  return absl::OkStatus();
}

}  // namespace ballast
