#include "client/async_pushes.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

// So that copies begin where vector instructions like them to.
constexpr size_t kAlignment = 64;

size_t Aligned(size_t size) { return (size + kAlignment - 1) / kAlignment * kAlignment; }

// Where each tensor's copy begins. Tensors of the same bytes have one copy: they are tied.
std::vector<size_t> PlacesOf(absl::Span<const TensorView> tensors, size_t* total) {
  absl::flat_hash_map<std::pair<const char*, size_t>, size_t> known;
  std::vector<size_t> places;
  for (const TensorView& tensor : tensors) {
    const auto [at, fresh] = known.try_emplace({tensor.bytes.data(), tensor.bytes.size()}, *total);
    if (fresh) *total += Aligned(tensor.bytes.size());
    places.push_back(at->second);
  }
  return places;
}

}  // namespace

AsyncPushes::~AsyncPushes() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

std::future<AsyncPushes::Result> AsyncPushes::Add(absl::Span<const TensorView> tensors,
                                                  const std::string& model,
                                                  const PushOptions& options,
                                                  const AsyncPushOptions& how) {
  PushList added(1), dropped;
  Push& push = added.front();
  push.tensors.assign(tensors.begin(), tensors.end());
  push.model = model;
  push.options = options;
  push.how = how;
  std::future<Result> future = push.promise.get_future();
  const bool has_room = Reserve(push, &dropped);
  for (Push& old : dropped) {
    End(&old, absl::CancelledError(absl::StrCat(old.model, ": dropped for a newer push")), false);
  }
  if (!has_room) {
    End(&push,
        LimitError(model, ": ", waiting_max_, " pushes wait, want fewer for one more ",
                   "(async_pushes_max)"),
        true);
    return future;
  }
  if (!how.release) CopyTensors(&push);
  {
    const std::lock_guard lock(mutex_);
    --reserved_;
    push.number = ++added_;
    waiting_.splice(waiting_.end(), added);
    if (!thread_.joinable()) thread_ = std::thread([this] { Run(); });
  }
  changed_.notify_all();
  return future;
}

bool AsyncPushes::Reserve(const Push& push, PushList* dropped) {
  const std::lock_guard lock(mutex_);
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    const auto old = it++;
    if (push.how.newest_wins && old->how.newest_wins && old->model == push.model) {
      dropped->splice(dropped->end(), waiting_, old);
    }
  }
  // The first of them is as good as running.
  const size_t running = running_.has_value() ? 1 : 0;
  if (waiting_.size() + reserved_ + running > waiting_max_) return false;
  ++reserved_;
  return true;
}

void AsyncPushes::CopyTensors(Push* push) {
  size_t total = 0;
  const std::vector<size_t> places = PlacesOf(push->tensors, &total);
  push->copy = TakeBuffer(total);
  size_t copied = 0;  // places grow, but for those that are known already
  for (size_t i = 0; i < places.size(); ++i) {
    absl::Span<const char>& bytes = push->tensors[i].bytes;
    char* const place = push->copy.bytes.get() + places[i];
    if (places[i] >= copied && !bytes.empty()) {
      std::memcpy(place, bytes.data(), bytes.size());
      copied = places[i] + bytes.size();
    }
    bytes = {place, bytes.size()};
  }
}

AsyncPushes::Buffer AsyncPushes::TakeBuffer(size_t size) {
  Buffer buffer;
  {
    const std::lock_guard lock(mutex_);
    std::swap(buffer, spare_);
  }
  if (buffer.size >= size && buffer.bytes != nullptr) return buffer;
  return {std::unique_ptr<char[]>(new char[size]), size};
}

void AsyncPushes::End(Push* push, const Result& result, bool counts_as_failure) {
  {
    const std::lock_guard lock(mutex_);
    if (counts_as_failure && !result.ok() && failure_.ok()) {
      failure_ = WithContext(result.status(), absl::StrCat("push of ", push->model));
    }
    if (push->copy.size > spare_.size) std::swap(spare_, push->copy);
  }
  if (push->how.release) push->how.release();
  if (push->how.done) push->how.done(result);
  push->promise.set_value(result);
}

void AsyncPushes::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    PushList now;
    now.splice(now.end(), waiting_, waiting_.begin());
    Push& push = now.front();
    running_ = push.number;
    lock.unlock();
    End(&push, push_(push.tensors, push.model, push.options), true);
    lock.lock();
    running_.reset();
    changed_.notify_all();
  }
}

absl::Status AsyncPushes::Flush() {
  std::unique_lock lock(mutex_);
  const uint64_t last = added_;
  changed_.wait(lock, [&] {
    const bool waits = !waiting_.empty() && waiting_.front().number <= last;
    return !waits && (!running_ || *running_ > last);
  });
  return std::exchange(failure_, absl::OkStatus());
}

}  // namespace ballast
