#include "storage/store/version_use.h"

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/store/catalog_walk.h"
#include "storage/store/model_record.h"
#include "storage/store/version_blocks.h"

namespace ballast {
namespace {

// One measurement: what no other version has named so far.
class Measurement {
 public:
  Measurement(BlobStore* blobs, RecordStore* records, const Limits& limits, std::string model,
              uint64_t version)
      : blobs_(blobs),
        records_(records),
        limits_(limits),
        model_(std::move(model)),
        version_(version) {}

  absl::StatusOr<VersionUse> Measure();

 private:
  std::string Name() const { return absl::StrCat(model_, ":", version_); }
  absl::Status Begin();
  absl::Status Subtract(const VersionRecord& record);
  absl::Status SubtractModel(const std::string& model);

  BlobStore* const blobs_;
  RecordStore* const records_;
  const Limits& limits_;
  const std::string model_;
  const uint64_t version_;
  absl::flat_hash_map<Digest, uint64_t> own_;
  uint64_t all_bytes_ = 0;
  uint64_t read_bytes_ = 0;
};

absl::Status Measurement::Begin() {
  ASSIGN_OR_RETURN(const auto values, records_->Read(ModelRecord(model_), {VersionKey(version_)}));
  if (!values[0].has_value()) return absl::NotFoundError(absl::StrCat(Name(), ": no such version"));
  ASSIGN_OR_RETURN(VersionRecord record, DecodeVersionRecord(*values[0]), Name());
  record.info.model = model_;
  return ForEachBlock(blobs_, record, limits_, [&](const Digest& digest, uint64_t size_bytes) {
    if (own_.emplace(digest, size_bytes).second) all_bytes_ += size_bytes;
  });
}

absl::Status Measurement::Subtract(const VersionRecord& record) {
  const bool itself = record.info.model == model_ && record.info.version == version_;
  if (itself || own_.empty()) return absl::OkStatus();
  read_bytes_ += record.manifest.size_bytes;
  if (read_bytes_ > limits_.usage_manifest_bytes_max) {
    return LimitError(Name(), ": manifests of other versions have more than ",
                      limits_.usage_manifest_bytes_max, " bytes (usage_manifest_bytes_max)");
  }
  return ForEachBlock(blobs_, record, limits_,
                      [&](const Digest& digest, uint64_t) { own_.erase(digest); });
}

absl::Status Measurement::SubtractModel(const std::string& model) {
  RETURN_IF_ERROR(
      ForEachLive(records_, model, [&](const VersionRecord& record) { return Subtract(record); }));
  return ForEachDeleted(records_, model,
                        [&](const StoredItem&, const DeletedRecord&, const VersionRecord& record) {
                          return Subtract(record);
                        });
}

absl::StatusOr<VersionUse> Measurement::Measure() {
  RETURN_IF_ERROR(Begin());
  RETURN_IF_ERROR(SubtractModel(model_));
  RETURN_IF_ERROR(ForEachModel(records_, [&](const std::string& model) {
    return model == model_ || own_.empty() ? absl::OkStatus() : SubtractModel(model);
  }));
  VersionUse use;
  for (const auto& [digest, size_bytes] : own_) use.exclusive_bytes += size_bytes;
  use.shared_bytes = all_bytes_ - use.exclusive_bytes;
  return use;
}

}  // namespace

absl::StatusOr<VersionUse> MeasureVersion(BlobStore* blobs, RecordStore* records,
                                          const Limits& limits, const VersionInfo& version) {
  return Measurement(blobs, records, limits, version.model, version.version).Measure();
}

}  // namespace ballast
