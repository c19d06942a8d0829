// Texts of any size kept as blocks: manifests and schemas. A record holds only the
// list of their blocks.
#ifndef BALLAST_STORAGE_STORE_STORED_TEXT_H_
#define BALLAST_STORAGE_STORE_STORED_TEXT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/base/digest.h"
#include "storage/store/blob_store.h"
#include "storage/store/record_coding.h"

namespace ballast {

// Encoding: varint size_bytes | varint count | count × 32 digest bytes.
struct StoredText {
  uint64_t size_bytes = 0;
  std::vector<Digest> blocks;  // all kBlockBytes but the last
  friend bool operator==(const StoredText&, const StoredText&) = default;
};

void PutStoredText(const StoredText& text, std::string* out);
// Not ok() afterwards if the list is cut short or its count and size disagree.
StoredText TakeStoredText(RecordReader* in);

// Cuts `text` (not empty) into blocks and adds them to the batch.
absl::StatusOr<StoredText> AddText(BlobBatch* batch, absl::string_view text);
// Reads it back; every block is checked against its SHA-256.
// Errors: DataLoss  a block is missing, fails its digest, or the sizes disagree.
//         Unavailable.
absl::StatusOr<std::string> LoadText(BlobStore* blobs, const StoredText& text);

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_STORED_TEXT_H_
