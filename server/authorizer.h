// Who may do what. Every use case asks here first.
#ifndef BALLAST_SERVER_AUTHORIZER_H_
#define BALLAST_SERVER_AUTHORIZER_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "storage/base/digest.h"

namespace ballast {

enum class Action {
  kRead,
  kPush,
  kSetAlias,
  kBindSchema,
  kList,
  kConvert,
  kDelete,
  kUndelete,
  kSetRetention,
  kCollectGarbage,
  kOperate,
  kImport,  // versions with numbers, times and creators of another registry
};
absl::string_view ActionName(Action action);  // "read", "push", …

// Thread-safe.
class Authorizer {
 public:
  virtual ~Authorizer() = default;

  // May `principal` do `action` on `model`? ("" for actions that concern none.)
  // Errors: PermissionDenied  "<principal> may not <action> <model>".
  virtual absl::Status Authorize(absl::string_view principal, Action action,
                                 absl::string_view model) = 0;

  // May `principal` learn that the store has this block? Naming a digest must not give
  // away another tenant's bytes; a block that is not visible is asked for again.
  virtual bool BlockVisible(absl::string_view principal, const Digest& digest) = 0;
};

// One trust domain: everyone who reaches the server may do everything.
class AllowAll : public Authorizer {
 public:
  absl::Status Authorize(absl::string_view, Action, absl::string_view) override {
    return absl::OkStatus();
  }
  bool BlockVisible(absl::string_view, const Digest&) override { return true; }
};

}  // namespace ballast

#endif  // BALLAST_SERVER_AUTHORIZER_H_
