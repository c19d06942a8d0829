#include "storage/store/version_blocks.h"

#include "storage/base/status.h"

namespace ballast {

absl::Status ForEachBlock(BlobStore* blobs, const VersionRecord& record, const Limits& limits,
                          const std::function<void(const Digest&, uint64_t size_bytes)>& each) {
  const std::vector<Digest>& text = record.manifest.blocks;
  for (size_t i = 0; i < text.size(); ++i) each(text[i], BlockSize(record.manifest.size_bytes, i));
  ASSIGN_OR_RETURN(const Manifest manifest, LoadManifest(blobs, record, limits));
  for (const ManifestEntry& entry : manifest.entries) {
    const uint64_t tensor_bytes = CheckedTensorBytes(entry.spec);
    for (size_t i = 0; i < entry.blocks.size(); ++i) {
      each(entry.blocks[i].digest, BlockSize(tensor_bytes, i));
    }
  }
  return absl::OkStatus();
}

}  // namespace ballast
