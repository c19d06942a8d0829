// What a model's record holds of a version.
//
// Encoding (varint and bytes as in record_coding.h):
//   u8 1 (encoding) | varint version | 32 digest bytes | u8 format | varint entries |
//   varint payload_bytes | varint bytes_new | varint parent | varint created (µs since
//   1970) | bytes creator | bytes message | varint label count, per label: bytes name,
//   bytes value | bytes token | manifest as StoredText
#ifndef BALLAST_STORAGE_STORE_VERSION_RECORD_H_
#define BALLAST_STORAGE_STORE_VERSION_RECORD_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/base/limits.h"
#include "storage/model/manifest.h"
#include "storage/store/blob_store.h"
#include "storage/store/catalog_facts.h"
#include "storage/store/stored_text.h"

namespace ballast {

struct VersionRecord {
  VersionInfo info;     // model, aliases and manifest_bytes are not part of the encoding
  std::string token;    // id of the push that made it: tells whose a record is
  StoredText manifest;  // its blocks belong to gc's roots, as do those it names
};

std::string EncodeVersionRecord(const VersionRecord& record);
// Errors: DataLoss  not such a record, or of a newer encoding.
absl::StatusOr<VersionRecord> DecodeVersionRecord(absl::string_view bytes);

// A deleted version: u8 1 (encoding) | varint µs since 1970 | bytes principal | bytes
// token | the rest is its version record, as it was.
struct DeletedRecord {
  absl::Time time;
  std::string principal;  // who deleted it
  std::string token;      // of the deletion
  std::string version;    // an encoded VersionRecord
};
std::string EncodeDeletedRecord(const DeletedRecord& record);
// Errors: DataLoss  not such a record, or of a newer encoding.
absl::StatusOr<DeletedRecord> DecodeDeletedRecord(absl::string_view bytes);

// The manifest of a version. Errors: DataLoss  a block of it is missing or damaged, or
// it is no manifest. ResourceExhausted  over a limit. Unavailable.
absl::StatusOr<Manifest> LoadManifest(BlobStore* blobs, const VersionRecord& record,
                                      const Limits& limits);

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_VERSION_RECORD_H_
