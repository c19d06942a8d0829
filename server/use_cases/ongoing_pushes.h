// Pushes that are under way, by request: one that comes back must find what the one before
// it has, whose connection may be dead without anybody having noticed yet.
#ifndef BALLAST_SERVER_USE_CASES_ONGOING_PUSHES_H_
#define BALLAST_SERVER_USE_CASES_ONGOING_PUSHES_H_

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace ballast {

// What a push is called in here; neither part has a space in it.
inline std::string NameOfPush(absl::string_view model, absl::string_view request_id) {
  return absl::StrCat(model, " ", request_id);
}

// Thread-safe.
class OngoingPushes {
  struct Entry;

 public:
  // Ends with its push; its destructor waits for a running `leave`.
  class Turn {
   public:
    // Both must outlive this, `entry` as long as a later push may have it.
    Turn(OngoingPushes* pushes, std::string request, std::shared_ptr<Entry> entry)
        : pushes_(pushes), request_(std::move(request)), entry_(std::move(entry)) {}
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    OngoingPushes* const pushes_;
    const std::string request_;
    const std::shared_ptr<Entry> entry_;  // shared with the push that takes its place
  };

  // Takes the place of the push of this request that is under way, if there is one: its
  // `leave` has been called when this returns. `leave` is called at most once, from the
  // thread of the push that comes next.
  std::unique_ptr<Turn> Enter(const std::string& request, std::function<void()> leave);

 private:
  struct Entry {
    std::mutex mutex;
    std::function<void()> leave;  // null: it was called, or its push has ended
  };
  void Remove(const std::string& request, const Entry* entry);

  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Entry>> by_request_;  // shared with the pushes' turns
};

}  // namespace ballast

#endif  // BALLAST_SERVER_USE_CASES_ONGOING_PUSHES_H_
