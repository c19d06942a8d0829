// Stops an operation from another thread.
#ifndef BALLAST_CANCEL_H_
#define BALLAST_CANCEL_H_

#include <functional>
#include <memory>

namespace ballast {

// A flag that many share: copies are the same flag. Thread-safe. Not for signal
// handlers (it takes a lock): wait for the signal in a thread.
class CancelToken {
 public:
  CancelToken();
  // Whoever is inside a call with this token returns Cancelled soon.
  void Cancel() const;
  bool cancelled() const;

  // Calls `fn` once on Cancel, in its thread, for as long as the returned object
  // lives; at once if cancelled already. Its destructor waits for a running call.
  std::shared_ptr<const void> OnCancel(std::function<void()> fn) const;

 private:
  struct State;
  std::shared_ptr<State> state_;  // Owners: all copies, and what OnCancel gave.
};

}  // namespace ballast

#endif  // BALLAST_CANCEL_H_
