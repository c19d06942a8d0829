#include "client/answers.h"

#include <random>

#include "absl/strings/str_cat.h"
#include "client/call.h"
#include "proto/wire.h"
#include "storage/base/status.h"
#include "storage/model/request_id.h"

namespace ballast {

absl::Time TimeFromProto(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

absl::StatusOr<VersionDescription> VersionFromProto(const v1::Version& version) {
  VersionDescription out;
  const absl::StatusOr<Digest> digest = Digest::FromBytes(version.digest());
  if (!digest.ok()) return BadAnswer(digest.status());
  const absl::StatusOr<Format> format = wire::FormatFromWire(version.format());
  if (!format.ok()) return BadAnswer(format.status());
  out.model = version.model();
  out.version = version.version();
  out.digest = *digest;
  out.format = *format;
  out.entries = version.entries();
  out.payload_bytes = version.payload_bytes();
  out.bytes_new = version.bytes_new();
  out.parent = version.parent();
  out.message = version.message();
  out.labels.insert(version.labels().begin(), version.labels().end());
  out.creator = version.creator();
  out.created = TimeFromProto(version.created());
  out.aliases.assign(version.aliases().begin(), version.aliases().end());
  if (version.has_deletion()) {
    out.deletion = {version.deletion().principal(), TimeFromProto(version.deletion().time()),
                    TimeFromProto(version.deletion().until())};
  }
  return out;
}

AliasMoveDescription AliasMoveFromProto(const v1::AliasMove& move) {
  return {move.alias(), move.from_version(), move.to_version(), move.principal(),
          TimeFromProto(move.time())};
}

ModelDescription ModelFromProto(const v1::Model& model) {
  ModelDescription out;
  out.model = model.model();
  out.latest = model.latest();
  out.versions = model.versions();
  out.aliases.insert(model.aliases().begin(), model.aliases().end());
  out.has_schema = model.has_schema();
  out.numbers_used = model.numbers_used();
  return out;
}

std::string ExactReference(const std::string& model, uint64_t version) {
  return absl::StrCat(model, ":", version);
}

std::string NewRequestId() {
  std::random_device device;
  std::string out;
  for (int i = 0; i < 4; ++i) absl::StrAppend(&out, absl::Hex(device(), absl::kZeroPad8));
  return out;
}

absl::StatusOr<std::string> RequestIdOr(const std::string& given) {
  if (given.empty()) return NewRequestId();
  RETURN_IF_ERROR(RequireRequestId(given));
  return given;
}

}  // namespace ballast
