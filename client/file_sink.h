// A file being written whose pages go to the disk behind the stream, so that the
// final fsync finds little left to do.
#ifndef BALLAST_CLIENT_FILE_SINK_H_
#define BALLAST_CLIENT_FILE_SINK_H_

#include "absl/status/status.h"
#include "storage/base/byte_io.h"
#include "storage/base/file.h"
#include "storage/base/status.h"

namespace ballast {

// Not thread-safe.
class WritebackSink : public ByteSink {
 public:
  explicit WritebackSink(AtomicFile* file) : file_(file) {}

  absl::Status Write(absl::string_view bytes) override {
    RETURN_IF_ERROR(file_->Write(bytes));
    const uint64_t size = file_->size_bytes();
    if (size - started_ >= kStepBytes) {
      file_->StartWriteback(started_, size - started_);
      started_ = size;
    }
    return absl::OkStatus();
  }

 private:
  static constexpr uint64_t kStepBytes = 8u << 20;
  AtomicFile* file_;  // Must outlive this.
  uint64_t started_ = 0;
};

}  // namespace ballast

#endif  // BALLAST_CLIENT_FILE_SINK_H_
