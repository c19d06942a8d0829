#include "storage/base/status.h"
#include "storage/formats/inspect.h"
#include "storage/formats/layout.h"
#include "storage/formats/manifest_json.h"
#include "storage/model/manifest.h"
#include "storage/store/model_record.h"
#include "storage/store/version_record.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/targets.h"

namespace ballast::fuzz {
namespace {

// What the server does with a manifest from a client or from the store.
void CheckManifestBytes(absl::string_view bytes) {
  const absl::StatusOr<Manifest> manifest = DecodeManifest(bytes, SmallLimits());
  if (!manifest.ok()) return CheckRefusal(manifest.status());
  Require(CheckManifest(*manifest, SmallLimits()).ok(), "a decoded manifest has been checked");
  const absl::StatusOr<Manifest> again = DecodeManifest(EncodeManifest(*manifest), Limits());
  Require(again.ok() && *again == *manifest, "a manifest's encoding is that manifest");
  Require(VersionDigest(*again) == VersionDigest(*manifest), "a digest depends on the manifest");
  for (const ManifestEntry& entry : manifest->entries) TensorCrc32(entry);
  for (const Format format : AllFormats()) {
    const absl::StatusOr<FileLayout> layout = LayOut(format, LayoutInputOf(*manifest), Limits());
    if (!layout.ok()) {
      CheckRefusal(layout.status());
      continue;
    }
    Require(layout->crc_holes.empty(), "a manifest's CRCs are known");
    uint64_t sum = 0;
    for (const Extent& extent : layout->extents) sum += extent.size_bytes;
    Require(sum == layout->size_bytes, "extents make the file");
  }
  // What a push brings is checked before it is stored.
  if (!CheckManifestJson(*manifest).ok()) return;
  const absl::StatusOr<std::string> inspected = InspectJson(*manifest, nullptr);
  if (inspected.ok()) CheckJson(*inspected);
}

// The store's own bytes: a broken record is DataLoss, and a sound one is what is
// written again.
template <typename T>
void CheckValue(absl::string_view bytes, absl::StatusOr<T> (*decode)(absl::string_view),
                std::string (*encode)(const T&)) {
  const absl::StatusOr<T> value = decode(bytes);
  if (!value.ok()) {
    Require(value.status().code() == absl::StatusCode::kDataLoss, "a broken record is DataLoss",
            value.status().ToString());
    return;
  }
  const std::string text = encode(*value);
  const absl::StatusOr<T> again = decode(text);
  Require(again.ok() && encode(*again) == text, "a value's encoding is that value");
}

}  // namespace

void FuzzStored(absl::string_view input) {
  Pieces pieces(input);
  const uint8_t which = pieces.Byte() % 7;
  const absl::string_view bytes = pieces.Rest();
  switch (which) {
    case 0:
      return CheckManifestBytes(bytes);
    case 1:
      return CheckValue(bytes, DecodeVersionRecord, EncodeVersionRecord);
    case 2:
      return CheckValue(bytes, DecodeHead, EncodeHead);
    case 3:
      return CheckValue(bytes, DecodeAlias, EncodeAlias);
    case 4:
      return CheckValue(bytes, DecodeRequest, EncodeRequest);
    case 5:
      return CheckValue(bytes, DecodeSchema, EncodeSchema);
    default:
      if (const auto version = VersionOfKey(bytes); version.ok()) {
        Require(*version <= kVersionMax, "a version has ten digits", bytes);
      }
  }
}

}  // namespace ballast::fuzz
