#include "storage/store/version_record.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "storage/base/status.h"
#include "storage/store/record_coding.h"

namespace ballast {
namespace {

constexpr uint8_t kEncoding = 1;

}  // namespace

std::string EncodeVersionRecord(const VersionRecord& record) {
  const VersionInfo& info = record.info;
  std::string out(1, static_cast<char>(kEncoding));
  PutVarint(info.version, &out);
  PutDigest(info.digest, &out);
  out.push_back(static_cast<char>(info.format));
  PutVarint(info.entries, &out);
  PutVarint(info.payload_bytes, &out);
  PutVarint(info.bytes_new, &out);
  PutVarint(info.parent, &out);
  PutVarint(static_cast<uint64_t>(absl::ToUnixMicros(info.created)), &out);
  PutBytes(info.creator, &out);
  PutBytes(info.message, &out);
  PutVarint(info.labels.size(), &out);
  for (const auto& [name, value] : info.labels) {
    PutBytes(name, &out);
    PutBytes(value, &out);
  }
  PutBytes(record.token, &out);
  PutStoredText(record.manifest, &out);
  return out;
}

absl::StatusOr<VersionRecord> DecodeVersionRecord(absl::string_view bytes) {
  RecordReader in(bytes);
  const absl::string_view encoding = in.Take(1);
  if (encoding.empty() || static_cast<uint8_t>(encoding[0]) != kEncoding) {
    return absl::DataLossError(absl::StrCat(
        "version record: encoding is ", encoding.empty() ? 0 : encoding[0], ", want ", kEncoding));
  }
  VersionRecord record;
  VersionInfo& info = record.info;
  info.version = in.Varint();
  info.digest = in.TakeDigest();
  const absl::string_view format = in.Take(1);
  info.format = format.empty() ? Format::kUnknown : static_cast<Format>(format[0]);
  info.entries = in.Varint();
  info.payload_bytes = in.Varint();
  info.bytes_new = in.Varint();
  info.parent = in.Varint();
  info.created = absl::FromUnixMicros(static_cast<int64_t>(in.Varint()));
  info.creator = in.Bytes();
  info.message = in.Bytes();
  const uint64_t labels = in.Varint();
  for (uint64_t i = 0; i < labels && in.ok(); ++i) {
    std::string name = in.Bytes();
    info.labels[std::move(name)] = in.Bytes();
  }
  record.token = in.Bytes();
  record.manifest = TakeStoredText(&in);
  info.manifest_bytes = record.manifest.size_bytes;
  if (!in.Done() || static_cast<uint8_t>(info.format) > static_cast<uint8_t>(Format::kPickle)) {
    return absl::DataLossError(
        absl::StrCat("version record: its ", bytes.size(), " bytes are damaged"));
  }
  return record;
}

std::string EncodeDeletedRecord(const DeletedRecord& record) {
  std::string out(1, static_cast<char>(kEncoding));
  PutVarint(static_cast<uint64_t>(absl::ToUnixMicros(record.time)), &out);
  PutBytes(record.principal, &out);
  PutBytes(record.token, &out);
  return out + record.version;
}

absl::StatusOr<DeletedRecord> DecodeDeletedRecord(absl::string_view bytes) {
  RecordReader in(bytes);
  const absl::string_view encoding = in.Take(1);
  DeletedRecord record;
  record.time = absl::FromUnixMicros(static_cast<int64_t>(in.Varint()));
  record.principal = in.Bytes();
  record.token = in.Bytes();
  record.version = std::string(in.Take(in.left()));
  if (!in.ok() || static_cast<uint8_t>(encoding[0]) != kEncoding) {
    return absl::DataLossError(
        absl::StrCat("deleted version: its ", bytes.size(), " bytes are damaged"));
  }
  return record;
}

absl::StatusOr<Manifest> LoadManifest(BlobStore* blobs, const VersionRecord& record,
                                      const Limits& limits) {
  const std::string name = absl::StrCat(record.info.model, ":", record.info.version);
  ASSIGN_OR_RETURN(const std::string text, LoadText(blobs, record.manifest),
                   absl::StrCat(name, ": manifest"));
  auto manifest = DecodeManifest(text, limits);
  if (absl::IsInvalidArgument(manifest.status())) {
    return absl::DataLossError(absl::StrCat(name, ": ", manifest.status().message()));
  }
  RETURN_IF_ERROR(manifest.status(), name);
  return manifest;
}

}  // namespace ballast
