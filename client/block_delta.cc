#include "client/block_delta.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "client/answers.h"
#include "client/block_stream.h"
#include "storage/base/status.h"
#include "storage/schema/selection.h"

namespace ballast {
namespace {

absl::Status CheckBlockSizes(const Manifest& manifest) {
  absl::flat_hash_map<Digest, uint64_t> sizes;
  for (const ManifestEntry& entry : manifest.entries) {
    const uint64_t tensor_bytes = CheckedTensorBytes(entry.spec);
    for (uint64_t b = 0; b < entry.blocks.size(); ++b) {
      const uint64_t size = BlockSize(tensor_bytes, b);
      const auto it = sizes.try_emplace(entry.blocks[b].digest, size).first;
      if (it->second == size) continue;
      return absl::DataLossError(absl::StrCat("block ", b, " of ", QuotedKey(entry.spec.key),
                                              ": is ", size, " bytes, want ", it->second,
                                              " as where it stands first"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PulledManifest> FetchManifest(Connection* connection, Operation* operation,
                                             const VersionDescription& version,
                                             const PullOptions& options) {
  PulledManifest manifest;
  ASSIGN_OR_RETURN(manifest.whole, PullManifest(connection, operation, version));
  RETURN_IF_ERROR(CheckBlockSizes(manifest.whole), ExactReference(version.model, version.version));
  manifest.selected = manifest.whole;
  RETURN_IF_ERROR(SelectEntries(options.rules, options.with_optimizer, connection->limits(),
                                &manifest.selected, &manifest.warnings));
  return manifest;
}

PullResult ResultOf(const VersionDescription& version, const PulledManifest& manifest) {
  PullResult result;
  result.reference = ExactReference(version.model, version.version);
  result.model = version.model;
  result.version = version.version;
  result.digest = version.digest;
  result.entries = manifest.selected.entries.size();
  result.warnings = manifest.warnings;
  return result;
}

BlockDelta::BlockDelta(Connection* connection, Operation* operation, const PulledManifest* manifest)
    : connection_(connection), operation_(operation), manifest_(manifest) {
  absl::flat_hash_map<Digest, size_t> index;
  for (uint32_t e = 0; e < manifest->selected.entries.size(); ++e) {
    const ManifestEntry& entry = manifest->selected.entries[e];
    const uint64_t tensor_bytes = CheckedTensorBytes(entry.spec);
    for (uint64_t b = 0; b < entry.blocks.size(); ++b) {
      const auto [it, added] = index.try_emplace(entry.blocks[b].digest, wanted_.size());
      if (added) {
        WantedBlock& block = wanted_.emplace_back();
        block.ref = entry.blocks[b];
        block.size_bytes = BlockSize(tensor_bytes, b);
        total_bytes_ += block.size_bytes;
      }
      wanted_[it->second].places.push_back({e, b});
    }
  }
}

absl::Status BlockDelta::TakeAll(const Take& take) {
  for (size_t i = 0; i < wanted_.size(); ++i) {
    ASSIGN_OR_RETURN(const bool taken, take(wanted_[i]));
    if (!taken) {
      missing_[wanted_[i].ref.digest] = i;
      continue;
    }
    reused_bytes_ += wanted_[i].size_bytes;
    RETURN_IF_ERROR(operation_->Report(Progress::Phase::kReceive, reused_bytes_, total_bytes_));
  }
  return absl::OkStatus();
}

std::vector<uint64_t> BlockDelta::NumbersOf(const std::vector<BlockPlace>& all) const {
  std::vector<uint64_t> numbers;
  for (uint64_t n = 0; n < all.size(); ++n) {
    const BlockRef& ref = manifest_->whole.entries[all[n].entry].blocks[all[n].index];
    if (missing_.contains(ref.digest)) numbers.push_back(n);
  }
  return numbers;
}

absl::Status BlockDelta::Run(const Take& take, const Put& put, PullResult* result) {
  RETURN_IF_ERROR(TakeAll(take));
  const std::vector<BlockPlace> all = DistinctBlocks(manifest_->whole);
  BlockStream stream(connection_, operation_, result->reference, &manifest_->whole, &all);
  stream.CountFrom(reused_bytes_, total_bytes_);
  RETURN_IF_ERROR(stream.Run(NumbersOf(all), [&](uint64_t number, absl::string_view bytes) {
    const BlockPlace& place = all[number];
    const Digest& digest = manifest_->whole.entries[place.entry].blocks[place.index].digest;
    return put(wanted_[missing_.at(digest)], bytes);
  }));
  result->bytes_received = stream.bytes();
  result->bytes_reused = reused_bytes_;
  result->retries = stream.retries();
  return absl::OkStatus();
}

}  // namespace ballast
