#include "proto/grpc_bridge.h"

#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <grpcpp/support/slice.h>

#include <climits>
#include <utility>
#include <vector>

#include "proto/wire.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

// gRPC's name for "HTTP/2 frames of up to 16 MiB - 1": fewer headers and wake-ups
// per byte (measured: 64 KiB messages with default frames reach about half).
constexpr int kHttp2FrameBytes = (16 << 20) - 1;
// Every gRPC client's default; no message of ours is larger.
constexpr int kMessageBytesMax = 4 << 20;

grpc::Slice ToSlice(Chunk chunk) {
  if (chunk.bytes.size() <= 1024) return grpc::Slice(chunk.bytes.data(), chunk.bytes.size());
  auto* held = new Chunk(std::move(chunk));
  return grpc::Slice(
      const_cast<char*>(held->bytes.data()), held->bytes.size(),
      [](void* p) { delete static_cast<Chunk*>(p); }, held);
}

}  // namespace

grpc::ByteBuffer ToByteBuffer(Frame frame) {
  std::vector<grpc::Slice> slices;
  slices.reserve(frame.chunks.size());
  for (Chunk& chunk : frame.chunks) slices.push_back(ToSlice(std::move(chunk)));
  return grpc::ByteBuffer(slices.data(), slices.size());
}

absl::StatusOr<Frame> FromByteBuffer(const grpc::ByteBuffer& buffer) {
  auto slices = std::make_shared<std::vector<grpc::Slice>>();
  const grpc::Status status = buffer.Dump(slices.get());
  if (!status.ok()) return absl::InternalError("message: cannot be decompressed");
  Frame frame;
  frame.chunks.reserve(slices->size());
  for (const grpc::Slice& slice : *slices) {
    frame.chunks.push_back(
        Chunk{{reinterpret_cast<const char*>(slice.begin()), slice.size()}, slices});
  }
  return frame;
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), wire::StatusMessage(status),
                      wire::StatusDetails(status));
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  return wire::StatusFromWire(status.error_code(), status.error_message(), status.error_details());
}

void SetChannelArguments(grpc::ChannelArguments* arguments) {
  arguments->SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kHttp2FrameBytes);
  arguments->SetMaxReceiveMessageSize(kMessageBytesMax);
  arguments->SetMaxSendMessageSize(kMessageBytesMax);
}

void KeepGrpcInitialised() {
  static const bool kept = [] {
    grpc_init();
    return true;
  }();
  static_cast<void>(kept);
}

}  // namespace ballast
