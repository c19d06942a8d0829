// Pushes that run behind the caller's back, one after the other, in one thread.
#ifndef BALLAST_CLIENT_ASYNC_PUSHES_H_
#define BALLAST_CLIENT_ASYNC_PUSHES_H_

#include <ballast/client.h>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace ballast {

// Thread-safe. The thread is started by the first push.
class AsyncPushes {
 public:
  using Result = absl::StatusOr<PushResult>;
  using PushFn = std::function<Result(absl::Span<const TensorView> tensors,
                                      const std::string& model, const PushOptions& options)>;

  // `push` runs in the thread; at most `waiting_max` pushes wait behind it.
  AsyncPushes(size_t waiting_max, PushFn push)
      : waiting_max_(waiting_max), push_(std::move(push)) {}
  // Waits until all are over.
  ~AsyncPushes();

  std::future<Result> Add(absl::Span<const TensorView> tensors, const std::string& model,
                          const PushOptions& options, const AsyncPushOptions& how);
  absl::Status Flush();

 private:
  // Memory for copies.
  struct Buffer {
    std::unique_ptr<char[]> bytes;
    size_t size = 0;
  };
  struct Push {
    uint64_t number = 0;
    std::vector<TensorView> tensors;
    std::string model;
    PushOptions options;
    AsyncPushOptions how;
    Buffer copy;
    std::promise<Result> promise;
  };
  using PushList = std::list<Push>;

  // Makes room for a push; false if there is none. Moves those that it takes the place of.
  bool Reserve(const Push& push, PushList* dropped);
  void CopyTensors(Push* push);
  Buffer TakeBuffer(size_t size);
  // Lets go of the tensors and tells everybody.
  void End(Push* push, const Result& result, bool counts_as_failure);
  void Run();

  const size_t waiting_max_;
  const PushFn push_;
  std::mutex mutex_;
  std::condition_variable changed_;
  PushList waiting_;
  size_t reserved_ = 0;  // that are being copied
  uint64_t added_ = 0;   // numbers that were given
  std::optional<uint64_t> running_;
  absl::Status failure_;  // the first since the last Flush
  Buffer spare_;          // of a push that is over: fresh memory costs more than the copy
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace ballast

#endif  // BALLAST_CLIENT_ASYNC_PUSHES_H_
