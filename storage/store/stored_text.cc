#include "storage/store/stored_text.h"

#include "absl/strings/str_cat.h"
#include "storage/base/crc32.h"
#include "storage/base/limits.h"
#include "storage/base/status.h"

namespace ballast {

void PutStoredText(const StoredText& text, std::string* out) {
  PutVarint(text.size_bytes, out);
  PutVarint(text.blocks.size(), out);
  for (const Digest& block : text.blocks) PutDigest(block, out);
}

StoredText TakeStoredText(RecordReader* in) {
  StoredText text;
  text.size_bytes = in->Varint();
  const uint64_t count = in->Varint();
  const uint64_t want = text.size_bytes / kBlockBytes + (text.size_bytes % kBlockBytes != 0);
  if (count != want || count > in->left() / Digest::kBytes) {
    in->Take(in->left() + 1);  // nothing after this is readable
    return {};
  }
  text.blocks.reserve(count);
  for (uint64_t i = 0; i < count; ++i) text.blocks.push_back(in->TakeDigest());
  return text;
}

absl::StatusOr<StoredText> AddText(BlobBatch* batch, absl::string_view text) {
  StoredText stored;
  stored.size_bytes = text.size();
  for (size_t offset = 0; offset < text.size(); offset += kBlockBytes) {
    const absl::string_view bytes = text.substr(offset, kBlockBytes);
    const Digest digest = Sha256Of(bytes);
    RETURN_IF_ERROR(batch->Add(digest, Crc32(bytes), bytes).status());
    stored.blocks.push_back(digest);
  }
  return stored;
}

absl::StatusOr<std::string> LoadText(BlobStore* blobs, const StoredText& text) {
  std::string out;
  for (const Digest& digest : text.blocks) {
    auto chunk = blobs->Get(digest);
    if (absl::IsNotFound(chunk.status())) return absl::DataLossError(chunk.status().message());
    RETURN_IF_ERROR(chunk.status());
    if (Sha256Of(chunk->bytes) != digest) {
      return absl::DataLossError(
          absl::StrCat("block ", digest.Hex(), ": the stored bytes fail their digest"));
    }
    out.append(chunk->bytes.data(), chunk->bytes.size());
  }
  if (out.size() != text.size_bytes) {
    return absl::DataLossError(
        absl::StrCat("stored text: size is ", out.size(), " bytes, want ", text.size_bytes));
  }
  return out;
}

}  // namespace ballast
