// A call seen as two streams of frames, blocking. Over gRPC (grpc_bridge.h), or
// in the process (tests).
#ifndef BALLAST_PROTO_FRAME_STREAM_H_
#define BALLAST_PROTO_FRAME_STREAM_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/frame.h"

namespace ballast {

// One end of a call. One thread may read while another writes.
class FrameStream {
 public:
  virtual ~FrameStream() = default;

  // The next frame of the other end; nullopt once it has sent all.
  // Errors: Cancelled  the call is over (the peer is gone, a deadline, a stop).
  virtual absl::StatusOr<std::optional<Frame>> Read() = 0;

  // Sends a frame. Returns when the frame *before* this one has been handed to the
  // transport, so that one is always under way while the next is being made.
  // Errors: Cancelled  as Read.
  virtual absl::Status Write(Frame frame) = 0;
};

// The client's end. Destroying it cancels the call if it is not over.
class ClientFrameStream : public FrameStream {
 public:
  // No more writes will follow. Waits for the last one to be handed over.
  virtual absl::Status WritesDone() = 0;
  // Waits for the end of the call and returns its status; reads that are left are
  // dropped. After it nothing may be called. Idempotent.
  virtual absl::Status Finish() = 0;
  // Ends the call from any thread; Read, Write and Finish return soon.
  virtual void Cancel() = 0;
};

}  // namespace ballast

#endif  // BALLAST_PROTO_FRAME_STREAM_H_
