// What the handlers share: reading typed messages from a call's stream, the file
// that a client sends along, and the version message.
#ifndef BALLAST_SERVER_HANDLERS_STREAM_IO_H_
#define BALLAST_SERVER_HANDLERS_STREAM_IO_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "ballast/v1/registry.pb.h"
#include "proto/frame_stream.h"
#include "server/call.h"
#include "server/handlers/handlers.h"
#include "storage/base/byte_io.h"
#include "storage/store/catalog.h"

namespace ballast {

void VersionToProto(const VersionInfo& version, v1::Version* out);
void AliasMoveToProto(const AliasMove& move, v1::AliasMove* out);
void TimeToProto(absl::Time time, google::protobuf::Timestamp* out);

// Reads one message that must be there.
// Errors: InvalidArgument  the stream ended instead, or it is not such a message.
template <typename Message>
absl::StatusOr<Message> ReadMessage(FrameStream* stream);

// A handler of a call with one request and one response.
template <typename Request, typename Response>
Handler Unary(std::function<absl::Status(Call*, const Request&, Response*)> serve);

// The size that a Request's `end` states; nullopt if it is another kind of message.
template <typename Request>
absl::StatusOr<std::optional<uint64_t>> EndOf(const Frame& frame);

// The file that a client streams as DataChunks in field `data_field` until an End, which
// `end_of` recognises. Checks positions, CRCs and the End's size. Not thread-safe.
class UploadStream : public ByteStream {
 public:
  using EndDecoder = absl::StatusOr<std::optional<uint64_t>> (*)(const Frame& frame);
  // `stream` and `call` must outlive this.
  UploadStream(FrameStream* stream, int data_field, EndDecoder end_of, Call* call)
      : stream_(stream), data_field_(data_field), end_of_(end_of), call_(call) {}
  // A data frame that was read before this was made.
  absl::Status Begin(const DataFrame& data) { return Take(data); }
  // Or the end: the file is empty.
  absl::Status BeginAtEnd(uint64_t size_bytes) { return End(size_bytes); }

  absl::StatusOr<size_t> Read(absl::Span<char> out) override;

 private:
  absl::Status Fill();
  absl::Status Take(const DataFrame& data);
  absl::Status End(uint64_t size_bytes);

  FrameStream* stream_;  // Must outlive this.
  const int data_field_;
  const EndDecoder end_of_;
  Call* call_;  // Must outlive this.
  std::vector<Chunk> chunks_;
  size_t index_ = 0;
  size_t offset_ = 0;
  uint64_t received_ = 0;
  bool ended_ = false;
};

// Sends what is written as DataChunks in field `data_field`. Not thread-safe.
class DownloadSink : public ByteSink {
 public:
  DownloadSink(FrameStream* stream, int data_field, Call* call)
      : stream_(stream), data_field_(data_field), call_(call) {}
  absl::Status Write(absl::string_view bytes) override;
  // Sends what is left.
  absl::Status Flush();

 private:
  FrameStream* stream_;  // Must outlive this.
  const int data_field_;
  Call* call_;  // Must outlive this.
  std::string buffer_;
  uint64_t position_ = 0;
};

// --- implementation of the templates ----------------------------------------------

template <typename Message>
absl::StatusOr<Message> ReadMessage(FrameStream* stream) {
  absl::StatusOr<std::optional<Frame>> frame = stream->Read();
  if (!frame.ok()) return frame.status();
  if (!frame->has_value()) {
    return absl::InvalidArgumentError("request: the stream ended, want a message");
  }
  Message message;
  if (absl::Status parsed = DecodeMessage(**frame, &message); !parsed.ok()) return parsed;
  return message;
}

template <typename Request>
absl::StatusOr<std::optional<uint64_t>> EndOf(const Frame& frame) {
  Request request;
  if (absl::Status parsed = DecodeMessage(frame, &request); !parsed.ok()) return parsed;
  if (!request.has_end()) return std::nullopt;
  return request.end().size_bytes();
}

template <typename Request, typename Response>
Handler Unary(std::function<absl::Status(Call*, const Request&, Response*)> serve) {
  return [serve = std::move(serve)](Call* call, FrameStream* stream) -> absl::Status {
    absl::StatusOr<Request> request = ReadMessage<Request>(stream);
    if (!request.ok()) return request.status();
    Response response;
    if (absl::Status served = serve(call, *request, &response); !served.ok()) return served;
    return stream->Write(EncodeMessage(response));
  };
}

}  // namespace ballast

#endif  // BALLAST_SERVER_HANDLERS_STREAM_IO_H_
