#include "server/handlers/stream_io.h"

#include <algorithm>
#include <cstring>

#include "storage/base/crc32.h"
#include "storage/base/status.h"

namespace ballast {

void VersionToProto(const VersionInfo& version, v1::Version* out) {
  out->set_model(version.model);
  out->set_version(version.version);
  out->set_digest(std::string(version.digest.View()));
  out->set_format(std::string(FormatName(version.format)));
  out->set_entries(version.entries);
  out->set_payload_bytes(version.payload_bytes);
  out->set_bytes_new(version.bytes_new);
  out->set_parent(version.parent);
  out->set_message(version.message);
  out->mutable_labels()->insert(version.labels.begin(), version.labels.end());
  out->set_creator(version.creator);
  TimeToProto(version.created, out->mutable_created());
  for (const std::string& alias : version.aliases) out->add_aliases(alias);
  if (!version.deletion.has_value()) return;
  v1::Deletion* deletion = out->mutable_deletion();
  deletion->set_principal(version.deletion->principal);
  TimeToProto(version.deletion->time, deletion->mutable_time());
  TimeToProto(version.deletion->until, deletion->mutable_until());
}

void AliasMoveToProto(const AliasMove& move, v1::AliasMove* out) {
  out->set_alias(move.alias);
  out->set_from_version(move.from);
  out->set_to_version(move.to);
  out->set_principal(move.principal);
  TimeToProto(move.time, out->mutable_time());
}

void TimeToProto(absl::Time time, google::protobuf::Timestamp* out) {
  const int64_t nanos = absl::ToUnixNanos(time);
  out->set_seconds(nanos / 1'000'000'000);
  out->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
}

absl::StatusOr<size_t> UploadStream::Read(absl::Span<char> out) {
  while (!ended_ && index_ == chunks_.size()) RETURN_IF_ERROR(Fill());
  if (index_ == chunks_.size()) return 0;
  const absl::string_view bytes = chunks_[index_].bytes.substr(offset_);
  const size_t n = std::min(out.size(), bytes.size());
  std::memcpy(out.data(), bytes.data(), n);
  offset_ += n;
  if (n == bytes.size()) {
    ++index_;
    offset_ = 0;
  }
  return n;
}

absl::Status UploadStream::Fill() {
  ASSIGN_OR_RETURN(const std::optional<Frame> frame, stream_->Read());
  if (!frame)
    return TruncatedError("file: the stream ended after ", received_, " bytes without `end`");
  ASSIGN_OR_RETURN(const std::optional<DataFrame> data, DecodeData(*frame, {data_field_}));
  if (data) return Take(*data);
  ASSIGN_OR_RETURN(const std::optional<uint64_t> end, end_of_(*frame));
  if (end) return End(*end);
  return MalformedError("file: after ", received_,
                        " bytes came another message, want data or `end`");
}

absl::Status UploadStream::Take(const DataFrame& data) {
  if (data.position != received_) {
    return MalformedError("file: data at position ", data.position, " came, want ", received_);
  }
  RETURN_IF_ERROR(CheckDataCrc(data, absl::StatusCode::kInvalidArgument, "file"));
  received_ += data.payload_bytes();
  call_->bytes_in += data.payload_bytes();
  chunks_ = data.payload;
  index_ = 0;
  offset_ = 0;
  return absl::OkStatus();
}

absl::Status UploadStream::End(uint64_t size_bytes) {
  ended_ = true;
  if (size_bytes == received_) return absl::OkStatus();
  return TruncatedError("file: ", received_, " bytes came, want ", size_bytes, " as `end` says");
}

absl::Status DownloadSink::Write(absl::string_view bytes) {
  while (!bytes.empty()) {
    const size_t n = std::min<size_t>(bytes.size(), kDataMessageBytes - buffer_.size());
    if (buffer_.empty()) buffer_.reserve(kDataMessageBytes);
    buffer_.append(bytes.data(), n);
    bytes.remove_prefix(n);
    if (buffer_.size() == kDataMessageBytes) RETURN_IF_ERROR(Flush());
  }
  return absl::OkStatus();
}

absl::Status DownloadSink::Flush() {
  if (buffer_.empty()) return absl::OkStatus();
  DataFrame data;
  data.field = data_field_;
  data.position = position_;
  data.crc32 = Crc32(buffer_);
  position_ += buffer_.size();
  call_->bytes_out += buffer_.size();
  data.payload.push_back(Chunk::Own(std::move(buffer_)));
  buffer_.clear();
  return stream_->Write(EncodeData(std::move(data)));
}

}  // namespace ballast
