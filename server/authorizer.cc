#include "server/authorizer.h"

namespace ballast {

absl::string_view ActionName(Action action) {
  switch (action) {
    case Action::kRead:
      return "read";
    case Action::kPush:
      return "push";
    case Action::kSetAlias:
      return "set aliases of";
    case Action::kBindSchema:
      return "bind a schema to";
    case Action::kList:
      return "list";
    case Action::kConvert:
      return "convert";
    case Action::kDelete:
      return "delete versions of";
    case Action::kUndelete:
      return "undelete versions of";
    case Action::kSetRetention:
      return "set the retention of";
    case Action::kCollectGarbage:
      return "collect garbage";
    case Action::kImport:
      return "import versions of";
    case Action::kOperate:
      break;
  }
  return "operate";
}

}  // namespace ballast
