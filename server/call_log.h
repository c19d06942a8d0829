// The log's lines about calls.
#ifndef BALLAST_SERVER_CALL_LOG_H_
#define BALLAST_SERVER_CALL_LOG_H_

#include "server/call_observer.h"
#include "server/log.h"

namespace ballast {

// One line for each call that ended, at a level that says whose matter it is: error, a
// bug or damaged data; warn, overload or a full disk; info, the caller's. At debug, one
// more when it begins. Thread-safe.
class CallLog : public CallObserver {
 public:
  // `log` must outlive this.
  explicit CallLog(Log* log) : log_(log) {}
  void Begun(const Call& call) override;
  void Moved(const Call&, uint64_t, uint64_t) override {}
  void Ended(const Call& call, const absl::Status& status, std::chrono::nanoseconds took) override;

 private:
  Log* const log_;
};

}  // namespace ballast

#endif  // BALLAST_SERVER_CALL_LOG_H_
