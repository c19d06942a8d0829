#include "storage/formats/pytorch_object.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/formats/pytorch_views.h"
#include "storage/formats/pytorch_walk.h"

namespace ballast {

absl::Status ReadPickledObject(const PickleGraph& graph, const Limits& limits,
                               StorageLocator* locator, SourceStateDict* dict) {
  for (const PickleGlobal& global : graph.globals()) {
    dict->globals.push_back(
        {Printable(global.FullName()), std::string(GlobalVerdictName(global.verdict))});
  }
  dict->container.push_back({"pickle_protocol", absl::StrCat(graph.protocol())});
  TensorDecoder decoder(&graph, locator, &limits);
  RETURN_IF_ERROR(WalkPickle(graph, limits, &decoder, dict));
  dict->storages = std::move(decoder.storages());
  dict->ties = FindTies(dict->entries);
  return CheckViews(limits, dict);
}

}  // namespace ballast
