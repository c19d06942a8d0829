// Frames over gRPC: the callback API seen as blocking streams, without copying
// payload (a Chunk becomes a grpc slice with a release callback, and back).
#ifndef BALLAST_PROTO_GRPC_BRIDGE_H_
#define BALLAST_PROTO_GRPC_BRIDGE_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/channel_arguments.h>
#include <grpcpp/support/status.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "proto/frame.h"
#include "proto/frame_stream.h"

namespace ballast {

grpc::ByteBuffer ToByteBuffer(Frame frame);
absl::StatusOr<Frame> FromByteBuffer(const grpc::ByteBuffer& buffer);

grpc::Status ToGrpcStatus(const absl::Status& status);
absl::Status FromGrpcStatus(const grpc::Status& status);

// The settings both ends use for throughput: frame size, message limits, no
// artificial delays. Names and reasons in the .cc.
void SetChannelArguments(grpc::ChannelArguments* arguments);

// Keeps gRPC 1.51 initialised until the process ends; for everyone who uses it. Its last user
// would otherwise wait, at the end of a channel or server, for a poller that may
// sleep for ten more seconds (seen in one of 200 pushes).
void KeepGrpcInitialised();

// Starts a call of `method` ("/ballast.v1.Registry/Pull") on the channel; unary and
// streaming methods alike. `configure` may set metadata and a deadline.
std::unique_ptr<ClientFrameStream> StartClientCall(
    std::shared_ptr<grpc::Channel> channel, const std::string& method,
    const std::function<void(grpc::ClientContext*)>& configure);

}  // namespace ballast

#endif  // BALLAST_PROTO_GRPC_BRIDGE_H_
